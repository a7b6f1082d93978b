"""Exported policies as files: the format by the name's ending, and what the policy is beside it."""

from __future__ import annotations

import json
from pathlib import Path

from cocoa.dynamics.xla.numerics import standard_numerics
from cocoa.errors import ConfigError, RunError
from cocoa.export.function import PolicyFunction
from cocoa.export.onnx import onnx
from cocoa.export.stablehlo import stablehlo
from cocoa.storage.files import atomic_write

FORMATS = {".stablehlo": stablehlo, ".onnx": onnx}
"""The functions that return a policy's file, by the ending of its name."""
_LIMIT = 2**31 - 2**20
"""Bytes of a policy's arrays: both formats address the content of a file by 31 bits."""


def check_name(path: Path) -> None:
    """Raise ConfigError if the name's ending is none of a format, or its folder does not exist."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path} does not say the format: its name must end in {' or '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}.")


@standard_numerics
def write(policy: PolicyFunction, path: Path) -> None:
    """Write the policy to `path`, and its metadata as JSON to <path>.json.

    Raises ConfigError for another ending than those of `FORMATS`, and RunError if the policy is too large or
    cannot be exported, or the file cannot be written. An older file stays as it is then.
    """
    check_name(path)
    if policy.size > _LIMIT:
        raise RunError(
            f"The policy has {policy.size / 1e9:.1f} GB of arrays, more than the 2.1 GB that an exported "
            "file can hold. Use the run's folder, which has no such limit."
        )
    content = FORMATS[path.suffix](policy)
    atomic_write(path, content)
    metadata = json.dumps(dict(policy.metadata), indent=2)
    atomic_write(path.with_name(f"{path.name}.json"), f"{metadata}\n".encode())
