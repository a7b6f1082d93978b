"""Where datasets come from: one file a source."""

from cocoa.data.sources import d4rl, shipped  # noqa: F401  (registers them)
from cocoa.data.sources.base import SOURCES, DatasetInfo, DatasetSource, register_source
from cocoa.data.sources.lookup import find_source, from_anywhere, load, registered_source

__all__ = [
    "SOURCES",
    "DatasetInfo",
    "DatasetSource",
    "find_source",
    "from_anywhere",
    "load",
    "register_source",
    "registered_source",
]
