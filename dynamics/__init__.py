"""Learned models of the environment; this package knows arrays and nothing else of the project."""

if __name__ != "cocoa.dynamics":
    raise ImportError("this folder is imported as cocoa.dynamics")
