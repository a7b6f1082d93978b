"""Folders of runs: how they are made, looked up and locked."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import count
from pathlib import Path

import filelock

from cocoa.config.program import resume_command
from cocoa.config.schema import Config, from_dict, names_modules, to_dict
from cocoa.errors import ConfigError, RunError
from cocoa.runs.loading import loadable
from cocoa.runs.places import run_parent
from cocoa.runs.summary import read_summary
from cocoa.runs.yaml import read_values, to_yaml, unreadable
from cocoa.storage.files import atomic_write, expanded, rename, write_error

STAGED = ".new-"
"""How the names of folders begin that are yet to become runs."""
_TIME = "%Y-%m-%d_%H-%M-%S"
_PATIENCE = 1.0
"""Seconds that a process waits for a run's lock, which `cocoa status` holds for a moment to look at it."""


def checkpoint_path(folder: Path) -> Path:
    """Return where the run in `folder` keeps the state of its training."""
    return folder / "checkpoints" / "latest.safetensors"


def how_to_resume(folder: Path, config: Config) -> str:
    """Return `resume_command`, or the call in Python for a dataset that was passed as an object."""
    if loadable(config.dataset):
        return resume_command(folder, names_modules(config))
    return f"cocoa.resume({str(folder)!r}, dataset)"


def create_run(config: Config, sha256: str) -> Path:
    """Make and return the folder runs_dir/<dataset>/<method>/<name or time>, with the configuration in it.

    It appears together with its config.yaml, or not at all. A run that failed without a checkpoint, or ended
    before it had a configuration, gives its name back; the first is renamed. Raises RunError if something
    else of this name exists or the folder cannot be made, ConfigError for a bad name.
    """
    name = config.name
    if name is not None and (Path(name).name != name or name in ("", "..") or name.startswith(STAGED)):
        raise ConfigError(
            f"name={name} is not possible: it must be the name of a folder, not a path, and not begin with "
            f"{STAGED}."
        )
    parent = run_parent(config, sha256)
    staged = parent / f"{STAGED}{uuid.uuid4().hex}"
    try:
        staged.mkdir(parents=True)
        _remove_abandoned(parent)
        write_config(staged, config)
        return _moved(staged, parent, name)
    except OSError as error:
        raise write_error(parent, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _moved(staged: Path, parent: Path, name: str | None) -> Path:
    """Rename the staged folder to the first free candidate, and return that. Raises RunError if none is."""
    for folder in _candidates(parent, name):
        if not os.path.lexists(folder) or _vacated(folder) or (name is not None and _set_aside(folder)):
            try:
                rename(staged, folder)
                return folder
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise  # else another process was faster
        if name is not None:
            raise _taken(folder)
    raise AssertionError("there is always another candidate")


def _taken(folder: Path) -> RunError:
    """Return the error for a name that is taken."""
    hint = f"Go on with it by {resume_command(folder)}, or choose another name=."
    if not os.path.isfile(folder / "config.yaml"):
        hint = "It is not the folder of a run: it has no config.yaml. Choose another name=."
    return RunError(f"{folder} exists already. {hint}")


def _vacated(folder: Path) -> bool:
    """Empty the folder of a run that was killed before it had a configuration; tell whether it was one."""
    if os.path.islink(folder) or not os.path.isdir(folder):
        return False
    left = list(folder.iterdir())
    if not all(path.name == ".lock" or path.name.startswith(".config.yaml.") for path in left):
        return False
    for path in left:
        path.unlink(missing_ok=True)
    return True


def _remove_abandoned(parent: Path) -> None:
    """Remove staged folders of processes that were killed: renaming one takes moments, not an hour."""
    for folder in parent.glob(f"{STAGED}*"):
        if time.time() - _changed(str(folder))[0] > 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _set_aside(folder: Path) -> bool:
    """Rename the folder of a run that failed without a checkpoint; tell whether it was one."""
    if not os.path.isfile(folder / "summary.json"):
        return False
    try:
        with filelock.FileLock(folder / ".lock", blocking=False):  # else it is being resumed
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


def read_config(folder: Path, trust: bool = False) -> Config:
    """Return the configuration of a run; `trust` is as in `from_dict`.

    Raises RunError if it cannot be read.
    """
    values = read_values(folder)
    try:
        return from_dict(values, trust)
    except _NO_CONFIGURATION as error:
        raise unreadable(folder / "config.yaml", error) from error


def find_run(path: str | os.PathLike[str]) -> Path:
    """Return the folder of a run.

    Raises RunError if it is none, naming the latest one in it or else the one with the nearest name.
    """
    folder = expanded(path, "resume")
    if os.path.isfile(folder / "config.yaml"):
        return folder
    above = next(path for path in (folder, *folder.parents) if os.path.isdir(path))
    runs = [str(run) for run in _runs_below(above)]
    latest = sorted((run for run in runs if folder in Path(run).parents), key=_changed)[-1:]
    near = latest or get_close_matches(str(folder), sorted(runs), n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]}?" if near else " Runs are in runs/<dataset>/<algo>/<name>."
    raise RunError(f"{folder} is not the folder of a run: it has no config.yaml.{hint}")


def find_runs(path: str | os.PathLike[str]) -> list[Path]:
    """Return the folders of the runs at or below a path, sorted. Raises RunError if there is none."""
    folder = expanded(path, "the folder of a run")
    is_run = os.path.isfile(folder / "config.yaml")
    return sorted(() if is_run else _runs_below(folder)) or [find_run(folder)]


def _runs_below(folder: Path) -> list[Path]:
    """Return the folders of the runs below one; of the root of a disk, none."""
    depths = range(5) if str(folder) != folder.anchor else ()
    runs = {config.parent for depth in depths for config in folder.glob("*/" * depth + "config.yaml")}
    runs = {run for run in runs if not run.name.startswith(STAGED)}
    return [run for run in runs if runs.isdisjoint(run.parents)]  # W&B has files of this name in a run


def acquire(lock: filelock.BaseFileLock, folder: Path) -> str:
    """Acquire the `lock` of the run in `folder`, and return an empty text. Raises RunError if it is held."""
    try:
        lock.acquire(timeout=_PATIENCE)
    except filelock.Timeout as error:
        raise RunError(f"{folder} is in use: another process trains or evaluates it.") from error
    except OSError as error:
        raise write_error(folder / ".lock", error) from error
    return ""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from the run in `folder`. Raises RunError if one holds its lock."""
    lock = filelock.FileLock(folder / ".lock")
    acquire(lock, folder)
    try:
        yield
    finally:
        lock.release()


def _changed(run: str) -> tuple[float, str]:
    with contextlib.suppress(OSError):
        return os.path.getmtime(run), run
    return 0.0, run
