"""Learned models of the environment; this package knows arrays and nothing else of the project."""
