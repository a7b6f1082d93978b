"""The devices of this process, over which its seeds are spread."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cocoa.errors import ConfigError, shown
from cocoa.training.seeds import AXIS


def offer_cores(devices: int | None, seeds: int) -> None:
    """Let JAX treat cores as devices, if it has nothing but a CPU; call it before JAX computes anything.

    `devices` None offers as many as get the same number of `seeds` each, unless the user has told JAX how
    many there are. Without an effect once JAX has started.
    """
    told = jax.config.jax_num_cpu_devices >= 0  # type: ignore[attr-defined]
    if devices is None and (told or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")):
        return
    count = devices or even(seeds, cores())
    with contextlib.suppress(RuntimeError):  # JAX has started
        jax.config.update("jax_num_cpu_devices", count)


def start_backend() -> None:
    """Start JAX, if it has not started. Raises ConfigError where there is no device that it may use."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
        named = f" on JAX_PLATFORMS={platforms}" if platforms else ""
        reason = f" ({shown(error, 300)})" if str(error) else ""
        raise ConfigError(
            f"JAX cannot start{named}{reason}. Unset JAX_PLATFORMS to use what this machine has, set "
            'JAX_PLATFORMS=cpu, or install JAX for its accelerator, as in pip install "jax[cuda12]".'
        ) from error


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def even(seeds: int, most: int) -> int:
    """Return the largest number up to `most` that divides `seeds`."""
    return max(count for count in range(1, min(seeds, most) + 1) if seeds % count == 0)


def seeds_mesh(seeds: int, devices: int | None = None) -> Mesh:
    """Return the devices for so many seeds, as a mesh with one axis, `AXIS`.

    They are `devices` of this process or, with None, all it has; but no more than get the same number of
    seeds each: of 4 devices 3 seeds take 3, 6 seeds take 3, and 5 seeds take 1. Raises ConfigError if there
    are fewer.
    """
    present = jax.local_devices()
    if devices is not None and devices > len(present):
        raise ConfigError(
            f"devices={devices} is not possible: JAX has {len(present)} here. The cores of a CPU count only "
            "if JAX has computed nothing before."
        )
    return Mesh(np.array(present[: even(seeds, devices or len(present))]), (AXIS,))


def host_device() -> Any:
    """Return the host's processor, or a device if JAX may use nothing else ($JAX_PLATFORMS)."""
    with contextlib.suppress(RuntimeError):
        return jax.local_devices(backend="cpu")[0]
    return jax.local_devices()[0]


def host_mesh() -> Mesh:
    """Return `host_device` as a mesh."""
    return Mesh(np.array([host_device()]), (AXIS,))


def evaluates_beside(mesh: Mesh) -> bool:
    """Tell whether policies are evaluated on the host while the mesh goes on with the training.

    Not on a CPU: there the two would take the cores from each other.
    """
    return mesh.devices.flat[0].platform != "cpu" and host_device().platform == "cpu"


def describe(mesh: Mesh, seeds: int) -> str:
    """Return where so many seeds of this process are trained."""
    kind = mesh.devices.flat[0].device_kind
    used, present = mesh.size, jax.local_device_count()
    devices = f"{used} device{'s' if used > 1 else ''} ({kind})"
    each = f"{seeds // used} seed{'s' if seeds > used else ''} each"
    left = f"; {present - used} more would get an unequal share and stay idle" if present > used else ""
    processes = f" in each of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return f"Training on {devices}{processes}, {each}{left}"
