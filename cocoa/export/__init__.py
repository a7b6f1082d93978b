"""Policies as single files that need neither this project nor the run that they come from."""
