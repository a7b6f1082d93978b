"""A W&B workspace and a report as code: plain algorithms against +COCOA."""
