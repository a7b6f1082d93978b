"""Pytrees of arrays as safetensors files: nothing is pickled, a file is either whole or not there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from cocoa.errors import RunError
from cocoa.files import atomic_write

Tree = TypeVar("Tree")


def is_key(leaf: Any) -> bool:
    """Tell whether `leaf` is a typed PRNG key (or its shape)."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def key_bits(tree: Any) -> Any:
    """Return the tree with the integers of typed PRNG keys in their place."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


def save_tree(path: Path, tree: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write the arrays of `tree` under their paths in it, with `metadata` in the header.

    The file appears at once and complete, or not at all. Raises RunError if the disk is full or refuses.
    """
    atomic_write(path, safetensors.numpy.save(arrays_by_path(tree), dict(metadata or {})))


def arrays_by_path(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of `tree` under their paths in it; of typed PRNG keys their integers."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(key_bits(tree))
    return {jax.tree_util.keystr(key_path): np.asarray(leaf, order="C") for key_path, leaf in leaves}


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays with their names, types and shapes."""
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(f"{name}{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def load_tree(path: Path, template: Tree, same_shapes: bool = False) -> Tree:
    """Return the tree saved at `path`; `template` gives its structure and types, the file its shapes.

    Raises RunError if the file is missing, damaged, or holds another structure, or with `same_shapes` other
    shapes than the template.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(key_path) for key_path, _ in leaves]
    try:
        arrays = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} cannot be read ({error}). It is missing or damaged.") from error
    if set(arrays) != set(names):
        different = sorted(set(arrays) ^ set(names))
        raise RunError(
            f"{path} was written by another version or configuration: it differs in {different[0]} and "
            f"{len(different) - 1} more arrays. Start a new run, or go back to the version that wrote it."
        )
    for name, (_, leaf) in zip(names, leaves, strict=True) if same_shapes else ():
        if not is_key(leaf) and arrays[name].shape != leaf.shape:
            raise RunError(
                f"{path} does not fit the configuration: {name} has the shape {arrays[name].shape} there, "
                f"and should have {leaf.shape}. Put the run's config.yaml back as it was, or start a new run."
            )
    restored = [_like(leaf, arrays[name]) for name, (_, leaf) in zip(names, leaves, strict=True)]
    return jax.tree_util.tree_unflatten(structure, restored)


def _like(leaf: Any, array: np.ndarray) -> Any:
    """Return an array as what `leaf` is: a key, a NumPy array, or an array on the device."""
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array))
    return array if isinstance(leaf, np.ndarray) else jnp.asarray(array)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the header's metadata. Raises RunError if the file is missing or damaged."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} cannot be read ({error}). It is missing or damaged.") from error
