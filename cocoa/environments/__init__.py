"""Environments in which policies act: D4RL's, which importing this registers, and what any says of itself."""

from cocoa.environments import d4rl  # noqa: F401  (registers D4RL/... with Gymnasium)
