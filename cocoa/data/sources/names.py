"""What datasets are called: one by its name or path, several by a list of these, written as one text."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, TypeAlias

from cocoa.errors import ConfigError, DataError, shown

DatasetName: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""What `load` takes: a name or path, or several whose transitions are put together."""

_MEMBER = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^",]*?)\s*(,|$)')
_PLAIN = re.compile(r'[^\s",\[\]](?:[^",\[\]]*[^\s",\[\]])?')


def dataset_name(dataset: Any) -> str:
    """Return a dataset's name as text: of several `[a.hdf5,b.hdf5]`, as on the command line.

    Raises ConfigError for a list of anything but names and paths.
    """
    if isinstance(dataset, str | bytes | os.PathLike):
        return os.fsdecode(dataset)
    if not isinstance(dataset, list | tuple) or not dataset:
        raise ConfigError(
            f"dataset={shown(dataset)} is not possible: it must be the name of a dataset, the path of a "
            "file, or a list of these, as in dataset=[a.hdf5,b.hdf5]."
        )
    for member in dataset:
        if not isinstance(member, str | os.PathLike):
            raise ConfigError(
                f"dataset={shown(list(dataset))} is not possible: each of the list must be the name of a "
                f"dataset or the path of a file, and {shown(repr(member))} is neither."
            )
    names = [os.fsdecode(member) for member in dataset]
    return names[0] if len(names) == 1 else f"[{','.join(map(_quoted, names))}]"


def is_list(name: str) -> bool:
    """Return whether a text is a list of datasets."""
    return name.startswith("[") and name.endswith("]") and not os.path.lexists(name)


def members(name: str) -> list[str]:
    """Return the names and paths in a list. Raises DataError if it cannot be read."""
    text, names, position = name[1:-1], [], 0
    while match := _MEMBER.match(text, position):
        names.append(json.loads(match[1], strict=False) if match[1].startswith('"') else match[1])
        position = match.end()
        if not match[2]:
            break
    if not match or not all(names):
        raise DataError(
            f"{shown(name)} is not a list of datasets. Write names and paths between commas, as in "
            '[a.hdf5,b.hdf5], and one with a comma or bracket in double quotes: ["a,b.hdf5",c.hdf5].'
        )
    return names


def label(name: str) -> str:
    """Return the short name under which a dataset is shown: a file's stem, and a+b of several."""
    if is_list(name):
        return "+".join(map(label, members(name)))
    path = PurePath(name)
    return path.stem if path.is_absolute() or path.suffix else name


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)
