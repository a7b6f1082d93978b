"""Optional packages: what each extra of the installation brings, and one sentence where it is missing."""

from __future__ import annotations

import importlib.util

from cocoa.errors import DataError

EXTRAS = {
    "robotics": ("gymnasium_robotics",),
    "minari": ("minari", "huggingface_hub"),
    "ogbench": ("ogbench",),
    "tuning": ("optuna", "sklearn"),
    "stablehlo": ("flatbuffers",),
    "onnx": ("jax2onnx", "onnx", "onnxruntime"),
    "report": ("jinja2",),
    "tensorboard": ("tensorboard",),
    "video": ("imageio", "imageio_ffmpeg"),
    "dashboard": ("wandb_workspaces",),
    "cluster": ("joblib", "submitit", "ray"),
}
"""The modules that must be importable, by the extra of `pip install "cocoa-rl[extra]"`."""


def extra_of(module: str) -> str | None:
    """Return the extra that brings a module, or None."""
    return next((extra for extra, modules in EXTRAS.items() if module in modules), None)


def missing(extra: str) -> bool:
    """Return whether a package of an extra is not installed; nothing is imported."""
    return any(importlib.util.find_spec(module) is None for module in EXTRAS[extra])


def require(extra: str, purpose: str, module: str | None = None) -> None:
    """Raise DataError with the `hint` if an extra is missing, or the one `module` of it that is needed."""
    if missing(extra) if module is None else importlib.util.find_spec(module) is None:
        raise DataError(hint(extra, purpose))


def hint(extra: str, purpose: str) -> str:
    """Return the sentence that says how to install an extra; it begins with `purpose`, which needs it."""
    return (
        f'{purpose} needs the extra "{extra}", which is not installed: '
        f"pip install 'cocoa-rl[{extra}]', or pip install -e '.[{extra}]' in a checkout."
    )
