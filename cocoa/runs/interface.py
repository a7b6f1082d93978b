"""What stands between the environment and the networks of a run, in a file of its own.

A policy needs it beside the algorithm's state. It does not change during the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.anchors.decomposition import Observe
from cocoa.config.schema import Config
from cocoa.data import Scaling
from cocoa.errors import RunError
from cocoa.preparation.templates import ModelShapes, anchor_template
from cocoa.runs.checkpoint import read_identified
from cocoa.storage.serialization import load_tree, save_tree
from cocoa.training.seeds import PerSeed

_DIMS = ("observation_dim", "action_dim")


@struct.dataclass
class Interface:
    """What stands between the environment and the networks of a run."""

    observe: Any
    """From states to observations: an `Observe`, which is `PerSeed` where each seed has its own models."""
    scaling: Scaling
    """Between the environment's units and those of the networks."""

    @property
    def dims(self) -> tuple[int, int]:
        """The sizes of states and actions."""
        return len(self.scaling.observation_mean), len(self.scaling.action_center)


def write_interface(folder: Path, interface: Interface, run: Mapping[str, str]) -> None:
    """Write the interface of the run in `folder`, with the run's `identity`."""
    dims = {name: str(size) for name, size in zip(_DIMS, interface.dims, strict=True)}
    save_tree(_path(folder), interface, {**run, **dims})


def read_interface(folder: Path, config: Config, dataset_sha256: str) -> Interface:
    """Return the interface of the run in `folder`, which has this configuration and dataset.

    Raises RunError if the file is missing, damaged or of another run.
    """
    path = _path(folder)
    metadata = read_identified(path, config)
    if metadata["dataset_sha256"] != dataset_sha256:
        raise RunError(f"{path} is of another run: it was made for another dataset.")
    if not _has_dims(metadata):
        raise RunError(f"{path} is incomplete: the sizes of states and actions are missing in its metadata.")
    return load_tree(path, _template(config, *(int(metadata[name]) for name in _DIMS)))


def interface_is_whole(folder: Path, config: Config) -> bool:
    """Return whether the file of the interface is whole, and of the run with this configuration."""
    try:
        return _has_dims(read_identified(_path(folder), config))
    except RunError:
        return False


def _path(folder: Path) -> Path:
    return folder / "checkpoints" / "interface.safetensors"


def _has_dims(metadata: Mapping[str, str]) -> bool:
    texts = [metadata.get(name, "") for name in _DIMS]
    return all(text.isdecimal() and len(text) < 8 for text in texts)


def _template(config: Config, observation_dim: int, action_dim: int) -> Interface:
    """Return the structure of a run's interface, from its configuration and sizes alone."""

    def vector(size: int) -> Any:
        return jax.ShapeDtypeStruct((size,), jnp.float32)

    observation, action = vector(observation_dim), vector(action_dim)
    shapes = ModelShapes(config.dynamics, observation_dim, action_dim)
    anchors = anchor_template(config.cocoa, shapes) if config.cocoa else None
    scaling = Scaling(observation, observation, action, action)  # type: ignore[arg-type]
    interface = Interface(Observe(observation, observation, anchors), scaling)  # type: ignore[arg-type]
    if config.cocoa is not None and config.cocoa.per_seed:
        return replace(interface, observe=PerSeed.shapes(interface.observe, len(config.seeds)))
    return interface
