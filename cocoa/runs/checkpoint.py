"""The metadata of a run's checkpoint: where the run stood, and which run it belongs to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cocoa.config.schema import Config, to_dict
from cocoa.errors import RunError, shown
from cocoa.storage.serialization import Tree, load_tree, read_metadata

FORMAT = 3
"""The number of the format of a run's files. Raise it whenever runs that are saved cannot go on: when arrays,
metadata or random streams change."""

_DECISIVE = ("algo", "cocoa", "data", "dynamics", "seeds", "batch_size", "matmul_precision")
"""The fields of a configuration on which the learner's state depends, apart from how long it is trained."""


@dataclass(frozen=True)
class Position:
    """Where a run stood when its checkpoint was written; by default at its start."""

    step: int = 0
    """Updates that were done, then also environment steps."""
    metrics: int = 0
    """Bytes of the metrics file."""
    metrics_crc32: int = 0
    """Checksum of these bytes."""
    episodes: int = 0
    """Bytes of the file of evaluated episodes."""
    episodes_crc32: int = 0
    """Checksum of these bytes."""
    dataset_sha256: str | None = None
    inputs_sha256: str = ""
    """Hash of the scaling, models and anchors that it was trained with."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time spent by stage."""

    def metadata(self, config: Config) -> dict[str, str]:
        """Return the metadata of a checkpoint of the run with this configuration."""
        return {
            "step": str(self.step),
            "metrics": str(self.metrics),
            "metrics_crc32": str(self.metrics_crc32),
            "episodes": str(self.episodes),
            "episodes_crc32": str(self.episodes_crc32),
            "inputs_sha256": self.inputs_sha256,
            "seconds": json.dumps(dict(self.seconds)),
            **identity(config, self.dataset_sha256 or ""),
        }


class FormatError(RunError):
    """A file is of a version of this project that writes another format."""


def identity(config: Config, dataset_sha256: str) -> dict[str, str]:
    """Return the metadata that all files of a run have, by which `read_identified` knows them."""
    values = to_dict(config)
    decisive = {name: values[name] for name in _DECISIVE}
    return {"format": str(FORMAT), "config": json.dumps(decisive), "dataset_sha256": dataset_sha256}


def read_position(path: Path, config: Config) -> Position:
    """Return where the run with this configuration stood, if its checkpoint is there; else its start.

    Raises RunError if the checkpoint is damaged, incomplete, or of a run with another configuration, and
    FormatError if another version wrote it.
    """
    if not os.path.lexists(path):
        return Position()
    try:
        return _position(path, read_identified(path, config))
    except FormatError:
        raise
    except RunError as error:
        raise RunError(
            f"{error} Put it back as it was, or delete it to train again in this folder, with the models "
            "that are there, or start another run."
        ) from error


def read_identified(path: Path, config: Config) -> dict[str, str]:
    """Return the metadata of a file of the run with this configuration.

    Raises RunError if the file is missing, damaged or of another run, and FormatError if another version
    wrote it.
    """
    metadata = read_metadata(path, verified=True)
    if metadata.get("format") != str(FORMAT):
        raise FormatError(
            f"{path} has the format {shown(metadata.get('format', '1'))} of another version, and not "
            f"{FORMAT}: start a new run."
        )
    _check_config(path, metadata, config)
    return metadata


def load_state(path: Path, template: Tree) -> Tree:
    """Return the arrays of a checkpoint; see `load_tree`. Raises RunError if it does not fit."""
    try:
        return load_tree(path, template)
    except RunError as error:
        raise RunError(
            f"{error} Put it back as it was, go back to the version that wrote it, or start another run."
        ) from error


def _position(path: Path, saved: Mapping[str, str]) -> Position:
    try:
        position = Position(
            step=int(saved["step"]),
            metrics=int(saved["metrics"]),
            metrics_crc32=int(saved["metrics_crc32"]),
            episodes=int(saved["episodes"]),
            episodes_crc32=int(saved["episodes_crc32"]),
            dataset_sha256=saved["dataset_sha256"],
            inputs_sha256=saved["inputs_sha256"],
            seconds={name: float(value) for name, value in json.loads(saved["seconds"]).items()},
        )
    except KeyError as error:
        raise RunError(f"{path} is incomplete: {error} is missing in its metadata.") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: its metadata are not those of a checkpoint.") from error
    if min(position.step, position.metrics, position.episodes) < 0:
        raise RunError(f"{path} is damaged: its metadata are not those of a checkpoint.")
    return position


def _check_config(path: Path, saved: Mapping[str, str], config: Config) -> None:
    """Raise RunError, naming the field, if a file's metadata are of a run with another configuration.

    Fields that are not in both, because they have been added or removed since, are not compared.
    """
    try:
        before = dict(_leaves(json.loads(saved["config"])))
    except (KeyError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: its metadata are not those of a run.") from error
    now = dict(_leaves(json.loads(identity(config, "")["config"])))
    for name in before.keys() & now.keys():
        if before[name] != now[name]:
            raise RunError(
                f"{path} is of another run, or its config.yaml has changed: {name} is {shown(before[name])} "
                f"there, and {shown(now[name])} here."
            )


def _leaves(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted names of nested values, and the values as JSON; of a mapping {...} as well."""
    if not isinstance(values, dict):
        yield name, json.dumps(values)
        return
    yield name, "{...}"  # not null
    for key, value in values.items():
        yield from _leaves(value, f"{name}.{key}" if name else key)
