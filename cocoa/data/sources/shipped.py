"""Datasets that come with this package."""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from pathlib import Path

from cocoa.data.dataset import Dataset
from cocoa.data.reference import REFERENCE_RETURNS
from cocoa.data.sources.base import DatasetInfo, DatasetSource, register_source
from cocoa.data.sources.files import read_file

SHIPPED = {"hopper-demo": "Hopper"}
"""The datasets, whose files have their names, and the family of the environment in `REFERENCE_RETURNS`."""


@register_source()
class ShippedSource(DatasetSource):
    """Reads the files beside this package."""

    presets = True

    def names(self) -> Collection[str]:
        """Return the names of all shipped datasets."""
        return SHIPPED

    def info(self, name: str) -> DatasetInfo:
        """Return the environment of a shipped dataset, and its file."""
        return DatasetInfo(name, env=f"{SHIPPED[name]}-v4", files=(shipped_file(name),))

    def read(self, name: str, env: str | None) -> Dataset:
        """Return the shipped dataset of this name."""
        return read_file(shipped_file(name), name, env)

    def reference_returns(self, name: str) -> tuple[float, float]:
        """Return D4RL's returns for the environment of the dataset."""
        return REFERENCE_RETURNS[SHIPPED[name]]


def shipped_file(name: str) -> Path:
    """Return the file of a shipped dataset."""
    return Path(str(resources.files("cocoa.data") / f"{name}.hdf5"))
