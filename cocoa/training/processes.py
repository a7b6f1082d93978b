"""Several processes that train one run: each has its own seeds, the first writes the results of all.

Seeds do not depend on each other, so processes exchange data only where the first one needs that of all.
Outside of `jax.distributed` there is one process, and nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from cocoa.config.schema import DistributedConfig
from cocoa.errors import ConfigError, RunError, UserError
from cocoa.storage.serialization import key_bits

T = TypeVar("T")


def join(config: DistributedConfig) -> None:
    """Connect to the other processes of the run, if there are any; call it before JAX computes anything.

    Raises ConfigError if they cannot be reached.
    """
    if config.coordinator is None or jax.distributed.is_initialized():
        return
    address = None if config.coordinator == "auto" else config.coordinator
    print(f"Waiting for the other processes (distributed.coordinator={config.coordinator})", flush=True)
    try:
        jax.distributed.initialize(address, config.processes, config.process)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"The processes of distributed.coordinator={config.coordinator} do not find each other: {error}"
        ) from error


def leads() -> bool:
    """Return whether this is the process that writes the run's folder."""
    return jax.process_index() == 0


def share(seeds: int) -> slice:
    """Return which of the seeds are this process's. Raises ConfigError if not all get the same number."""
    count = shared_evenly(seeds, jax.process_count())
    return slice(jax.process_index() * count, (jax.process_index() + 1) * count)


def shared_evenly(seeds: int, processes: int) -> int:
    """Return how many of the seeds each process gets. Raises ConfigError if that differs."""
    count, rest = divmod(seeds, processes)
    if rest:
        raise ConfigError(
            f"{seeds} seeds cannot be divided evenly among {processes} processes: each must train the same "
            "number of them."
        )
    return count


def gather(tree: Any) -> Any:
    """Return NumPy leaves (seeds of all processes, ...) in every process, for leaves (its seeds, ...)."""
    leaves, structure = jax.tree.flatten(jax.device_get(key_bits(tree)))
    if jax.process_count() > 1:
        # As bytes: JAX would make single precision of double, and compile a program for each shape.
        everything = _exchange(b"".join(np.asarray(leaf, order="C").tobytes() for leaf in leaves))
        ends = np.cumsum([leaf.nbytes for leaf in leaves])
        leaves = [
            np.frombuffer(everything[:, end - leaf.nbytes : end].tobytes(), leaf.dtype).reshape(
                -1, *leaf.shape[1:]
            )
            for leaf, end in zip(leaves, ends, strict=True)
        ]
    return jax.tree.unflatten(structure, leaves)


def anywhere(flag: bool) -> bool:
    """Return whether `flag` is true in any process."""
    return bool(gather(np.array([flag])).any())


def all_or_none(make: Callable[[], T]) -> T:
    """Return what `make` returns here; if it raises a UserError in another process, raise a RunError."""
    made, error = None, None
    try:
        made = make()
    except UserError as raised:
        error = raised
    if anywhere(error is not None):
        raise error or RunError("Another process of the run failed; its output says why.")
    return made  # type: ignore[return-value]


def by_first(make: Callable[[], str]) -> str:
    """Return in every process the text that `make` returns in the first.

    If it raises a UserError there, the others raise a RunError.
    """
    text, error = "", None
    if leads():
        try:
            text = make()
        except UserError as raised:
            error = raised
    if jax.process_count() > 1:
        # All sizes must be equal: the length goes first, and below 0 stands for an error.
        length = gather(np.array([-1 if error else len(text.encode())]))[0]
        if length < 0:
            raise error or RunError("The first process could not begin; its output says why.")
        padded = (text.encode() if leads() else b"").ljust(length)
        text = _exchange(padded)[0].tobytes().decode()
    if error:
        raise error
    return text


def meet() -> None:
    """Wait until all processes have called this."""
    anywhere(False)


def _exchange(content: bytes) -> np.ndarray:
    """Return the bytes of all processes, (processes, size) uint8; all must be of one size."""
    return np.asarray(multihost_utils.process_allgather(np.frombuffer(content, np.uint8)))
