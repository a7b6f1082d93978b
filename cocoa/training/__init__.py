"""Runs any algorithm for a chunk on the device, evaluates, logs, saves."""
