"""Several datasets as one: `[a.hdf5,b.hdf5]`."""

from __future__ import annotations

from cocoa.data.concatenation import common_environment, concatenated
from cocoa.data.dataset import Dataset
from cocoa.data.sources.base import DatasetInfo, DatasetSource, register_source
from cocoa.data.sources.lookup import find_source, from_anywhere
from cocoa.data.sources.names import dataset_name, is_list, label, members
from cocoa.extras import require


@register_source()
class SeveralSource(DatasetSource):
    """Puts the transitions of the datasets in a list together, in the order of the list."""

    def answers(self, name: str) -> bool:
        """Return whether the name is a list in brackets."""
        return is_list(name)

    def from_anywhere(self, name: str) -> str:
        """Return the list with names and absolute paths."""
        return dataset_name([from_anywhere(member) for member in members(name)])

    def info(self, name: str) -> DatasetInfo:
        """Return the files of all datasets in a list, the first extra, and the environment, if known."""
        infos = [find_source(member).info(member) for member in members(name)]
        envs = {info.env for info in infos if info.env}
        return DatasetInfo(
            name,
            env=envs.pop() if len(envs) == 1 else None,
            extra=next((info.extra for info in infos if info.extra), None),
            files=tuple(file for info in infos for file in info.files),
            origins=tuple(origin for info in infos for origin in info.origins or (None,) * len(info.files)),
        )

    def read(self, name: str, env: str | None) -> Dataset:
        """Return the datasets of a list as one. Raises DataError if they do not fit together.

        What is known without reading them is checked before any is read, which may download it.
        """
        names = members(name)
        sources = [find_source(member) for member in names]
        infos = [source.info(member) for source, member in zip(sources, names, strict=True)]
        for info in infos:
            if info.extra:
                require(info.extra, f"Dataset {info.name}")
        if env is None:
            common_environment([(info.name, info.env) for info in infos])
        datasets = [source.read(member, env) for source, member in zip(sources, names, strict=True)]
        return concatenated(datasets, label(name))
