"""Numbers that keep the random streams of a seed apart: a stream's number is folded into its key first."""

from __future__ import annotations

INITIAL, UPDATES, RENEWALS, COLLECTED, HELD_OUT = range(5)
"""Initial parameters, updates, renewals of a source's buffer, steps that a training collects, and held-out
losses."""
