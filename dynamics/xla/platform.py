"""The platform that a program is traced for."""

from __future__ import annotations

import jax


def platform() -> str:
    """Return the platform of `jax.default_device` where that is set, else that of JAX's first device.

    A program that is traced for a device other than the first, such as the host beside an accelerator, is
    traced inside of `jax.default_device`.
    """
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return getattr(device, "platform", device) or jax.default_backend()
