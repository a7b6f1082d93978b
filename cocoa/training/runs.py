"""Folders of runs: made, found, and what stands in them as text."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import count
from pathlib import Path

import filelock
from tqdm import tqdm

from cocoa.config import Config, from_dict, to_dict
from cocoa.errors import ConfigError, RunError
from cocoa.files import atomic_write, check_regular, write_error
from cocoa.training.summary import read_summary
from cocoa.training.values import read_values, to_yaml, unreadable

_TIME = "%Y-%m-%d_%H-%M-%S"


def method(config: Config) -> str:
    """Return the algorithm's name, with +cocoa, and its variant unless it is the published one."""
    if config.variant is None:
        return config.algo.name
    return f"{config.algo.name}+cocoa" + ("" if config.variant == "seek" else f"-{config.variant}")


def checkpoint_path(folder: Path) -> Path:
    """Return where the run in `folder` keeps the state of its training."""
    return folder / "checkpoints" / "latest.safetensors"


def run_parent(config: Config) -> Path:
    """Return the folder that holds all runs of the dataset and the method."""
    return Path(config.runs_dir).expanduser() / Path(config.dataset).stem / method(config)


def resume_command(folder: Path) -> str:
    """Return the command that goes on with a run, quoted for a shell."""
    called = sys.argv[0] if os.path.basename(sys.argv[0]) == "train.py" else "train.py"
    return f"python {shlex.quote(called)} resume={shlex.quote(os.path.abspath(folder))}"


def create_run(config: Config) -> Path:
    """Make and return the folder runs_dir/<dataset>/<method>/<name or time>.

    A run that failed without a checkpoint gives its name back, and is renamed. Raises RunError if another run
    of this name exists or the folder cannot be made, ConfigError for a bad name.
    """
    if config.name is not None and (Path(config.name).name != config.name or config.name in ("", "..")):
        raise ConfigError(
            f"name={config.name} is not possible: it is to be the name of a folder, not a path."
        )
    for folder in _candidates(run_parent(config), config.name):
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError as error:
            if config.name is not None:
                if _set_aside(folder):
                    return create_run(config)
                raise RunError(
                    f"{folder} exists already. Go on with it by {resume_command(folder)}, or choose another "
                    "name=."
                ) from error
        except OSError as error:
            raise write_error(folder, error) from error
    raise AssertionError("there is always another candidate")


def _set_aside(folder: Path) -> bool:
    """Rename the folder of a run that failed without a checkpoint; tell whether it was one."""
    try:
        with filelock.FileLock(folder / ".lock", blocking=False):  # else somebody goes on with it right now
            failed = read_summary(folder)["status"] == "failed" and not checkpoint_path(folder).exists()
            if failed:
                folder.rename(folder.with_name(time.strftime(f"{folder.name}-failed-{_TIME}")))
            return failed
    except (filelock.Timeout, RunError, KeyError, OSError):
        return False


def _candidates(parent: Path, name: str | None) -> Iterator[Path]:
    """Yield folders to try: two runs that start in the same second get different ones."""
    if name is not None:
        yield parent / name
        return
    now = time.strftime(_TIME)
    yield parent / now
    yield from (parent / f"{now}-{number}" for number in count(2))


def write_config(folder: Path, config: Config) -> None:
    """Write the full configuration."""
    atomic_write(folder / "config.yaml", to_yaml(to_dict(config)).encode())


_NO_CONFIGURATION = (ConfigError, AttributeError, KeyError, TypeError, ValueError)
"""What `from_dict` raises for values of other types and shapes than a configuration's."""


def read_config(folder: Path) -> Config:
    """Return the configuration of a run. Raises RunError if it cannot be read."""
    values = read_values(folder)
    try:
        return from_dict(values)
    except _NO_CONFIGURATION as error:
        raise unreadable(folder / "config.yaml", error) from error


def find_run(path: str | Path) -> Path:
    """Return the folder of a run.

    Raises RunError if it is none, naming the latest one in it or else the one with the nearest name.
    """
    folder = Path(path).expanduser()
    if os.path.isfile(folder / "config.yaml"):
        return folder
    above = next(one for one in (folder, *folder.parents) if os.path.isdir(one))
    depths = range(5) if str(above) != above.anchor else ()  # not the whole disk
    runs = [str(config.parent) for depth in depths for config in above.glob("*/" * depth + "config.yaml")]
    found = set(runs)
    runs = [run for run in runs if found.isdisjoint(map(str, Path(run).parents))]  # W&B has such files inside
    latest = sorted((run for run in runs if folder in Path(run).parents), key=_changed)[-1:]
    near = latest or get_close_matches(str(folder), sorted(runs), n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]}?" if near else " Runs are in runs/<dataset>/<algo>/<name>."
    raise RunError(f"{folder} is not the folder of a run: it has no config.yaml.{hint}")


def _changed(run: str) -> tuple[float, str]:
    with contextlib.suppress(OSError):
        return os.path.getmtime(run), run
    return 0.0, run


def begun(folder: Path) -> str:
    """Return when a run began, as text that sorts by time; empty if its log is gone."""
    path = folder / "log.txt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        check_regular(path)
        with path.open(encoding="utf-8") as file:
            return file.readline(len("2026-01-31 12:00:00"))
    return ""


class Console:
    """Prints to the screen, beside progress bars, and appends to the run's log.txt with the time."""

    def __init__(self, folder: Path):
        """Open the log of the run in `folder`."""
        self._path = folder / "log.txt"

    def say(self, text: str) -> None:
        """Print and log a text."""
        _show(text)
        self.log(text)

    def log(self, text: str) -> None:
        """Log a text that has been printed."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            if self._path.exists():
                check_regular(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{stamp} {line}\n" for line in text.splitlines()))
        except OSError as error:
            raise write_error(self._path, error) from error


def _show(text: str) -> None:
    """Print beside progress bars; a screen that is gone, or lacks a character, stops no training."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with contextlib.suppress(OSError, ValueError):
        tqdm.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
