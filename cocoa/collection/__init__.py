"""Datasets that are made here: policies are trained online, and what they do is recorded as by D4RL."""
