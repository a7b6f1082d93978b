"""Where datasets come from: one file a source."""

from cocoa.data.sources import d4rl, shipped  # noqa: F401  (registers them)
from cocoa.data.sources.base import SOURCES, DatasetSource, register_source
from cocoa.data.sources.lookup import find_source, from_anywhere, load, registered_source

__all__ = [
    "SOURCES",
    "DatasetSource",
    "find_source",
    "from_anywhere",
    "load",
    "register_source",
    "registered_source",
]
