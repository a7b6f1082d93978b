"""Where datasets come from: one file a source."""

from cocoa.data.sources import d4rl, minari, ogbench, several, shipped  # noqa: F401  (registers them)
from cocoa.data.sources.base import SOURCES, DatasetInfo, DatasetSource, register_source
from cocoa.data.sources.lookup import find_source, from_anywhere, load, registered_source
from cocoa.data.sources.names import DatasetName, dataset_name, is_list, label

__all__ = [
    "SOURCES",
    "DatasetInfo",
    "DatasetName",
    "DatasetSource",
    "dataset_name",
    "find_source",
    "from_anywhere",
    "is_list",
    "label",
    "load",
    "register_source",
    "registered_source",
]
