"""Finished policies compared without an environment, by what held-out episodes say of them."""
