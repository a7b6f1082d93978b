"""Pytrees of arrays as safetensors files: nothing is pickled, and a file is complete or absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from cocoa.errors import RunError, shown
from cocoa.storage.files import atomic_write, check_regular, reason

Tree = TypeVar("Tree")
CHECKSUM = "sha256"
"""The entry of the metadata that holds the checksum of everything else in the file."""


def is_key(leaf: Any) -> bool:
    """Return whether `leaf` is a typed PRNG key (or its shape)."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def key_bits(tree: Any) -> Any:
    """Return the tree with typed PRNG keys replaced by their integers."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


def save_tree(path: Path, tree: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write the arrays of `tree` under their paths in it, with `metadata` and a checksum in the header.

    The file appears complete or not at all. Raises RunError if it cannot be written.
    """
    arrays, metadata = arrays_by_path(tree), dict(metadata or {})
    metadata[CHECKSUM] = _checksum(sorted(arrays.items()), metadata)
    atomic_write(path, safetensors.numpy.save(arrays, metadata))


def arrays_by_path(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of `tree` by their paths in it; typed PRNG keys as their integers."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(key_bits(tree))
    return {jax.tree_util.keystr(key_path): np.asarray(leaf, order="C") for key_path, leaf in leaves}


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays with their names, types and shapes."""
    return _hash(arrays.items()).hexdigest()


def _hash(arrays: Iterable[tuple[str, np.ndarray]]) -> Any:
    sha256 = hashlib.sha256()
    for name, array in arrays:
        sha256.update(f"{name}{array.dtype}{array.shape}".encode())
        sha256.update(np.ascontiguousarray(array).data)
    return sha256


def _checksum(arrays: Iterable[tuple[str, np.ndarray]], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of everything else in a file; `arrays` are sorted by name."""
    sha256 = _hash(arrays)
    rest = {name: text for name, text in metadata.items() if name != CHECKSUM}
    sha256.update(json.dumps(rest, sort_keys=True).encode())
    return sha256.hexdigest()


def load_tree(path: Path, template: Tree) -> Tree:
    """Return the tree saved at `path`; `template` gives its structure, types and shapes.

    An axis of size 0 in the template may have any size, as where it depends on the data. Raises RunError if
    the file is missing, not as it was written, or holds anything else than the template.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    expected = {jax.tree_util.keystr(key_path): leaf for key_path, leaf in leaves}
    with _opened(path) as file:
        _compare_names(path, set(file.keys()), set(expected))
        for name, leaf in expected.items():  # before reading: a foreign file may have any size
            _compare_shapes(path, name, tuple(file.get_slice(name).get_shape()), _bits(leaf).shape)
        arrays = {name: file.get_tensor(name) for name in sorted(expected)}
        metadata = dict(file.metadata() or {})
    for name, leaf in expected.items():
        if arrays[name].dtype != _bits(leaf).dtype:
            raise _unfit(path, name, arrays[name].dtype, _bits(leaf).dtype)
    _verify(path, arrays.items(), metadata)
    restored = [_like(leaf, arrays[name]) for name, leaf in expected.items()]
    return jax.tree_util.tree_unflatten(structure, restored)


def _bits(leaf: Any) -> Any:
    """Return a template's leaf; of a key the shape and type of its integers."""
    return jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf


def _compare_names(path: Path, stored: set[str], expected: set[str]) -> None:
    if different := sorted(stored ^ expected):
        raise RunError(
            f"{path} was written by another version or configuration: it differs in {shown(different[0])} "
            f"and {len(different) - 1} more arrays."
        )


def _compare_shapes(path: Path, name: str, stored: tuple, expected: tuple) -> None:
    if not fits_shape(stored, expected):
        raise _unfit(path, name, stored, expected)


def fits_shape(shape: tuple[int, ...], template: tuple[int, ...]) -> bool:
    """Return whether a shape is that of a template, of which sizes of 0 stand for any."""
    return len(shape) == len(template) and all(
        size in (have, 0) for have, size in zip(shape, template, strict=True)
    )


def _unfit(path: Path, name: str, stored: Any, expected: Any) -> RunError:
    """Return the error for an array that has another shape or type than expected."""
    return RunError(
        f"{path} does not fit the configuration: {name} has {stored} there, and should have {expected}."
    )


def _verify(path: Path, arrays: Iterable[tuple[str, np.ndarray]], metadata: Mapping[str, str]) -> None:
    """Raise RunError if a file has no checksum, or another than that of its content."""
    if metadata.get(CHECKSUM) != _checksum(arrays, metadata):
        raise RunError(f"{path} is damaged: it does not have the checksum that it was written with.")


def _like(leaf: Any, array: np.ndarray) -> Any:
    """Return an array in the type of `leaf`: a key, a NumPy array, or an array on the device."""
    if is_key(leaf):
        return jax.random.wrap_key_data(jax.device_put(array))
    return array if isinstance(leaf, np.ndarray) else jax.device_put(array)


def read_metadata(path: Path, verified: bool = False) -> dict[str, str]:
    """Return the header's metadata; `verified` compares the whole file with its checksum.

    Raises RunError if the file is missing or damaged.
    """
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        if verified:
            _verify(path, ((name, file.get_tensor(name)) for name in sorted(file.keys())), metadata)
    return metadata


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file for reading. Raises RunError if it is missing or damaged."""
    try:
        check_regular(path)
        with safetensors.safe_open(path, "numpy") as file:
            yield file
    except (OSError, safetensors.SafetensorError, TypeError, AttributeError, ValueError) as error:
        # NumPy's errors are those of types and shapes that it does not have.
        raise RunError(f"{path} cannot be read ({reason(error)}). It is missing or damaged.") from error
