"""Environments in which policies act: what they say of themselves."""
