"""OGBench's environments."""

from __future__ import annotations

PREFIX = "ogbench:"
"""How their Gymnasium ids begin: with the module that registers them."""
