"""Starts or resumes a run: its folder, lock, processes and devices, and how it ends."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock

from cocoa.config.effect import idle_settings
from cocoa.config.extensions import import_trusted
from cocoa.config.schema import Config, DistributedConfig, from_dict, to_dict
from cocoa.data import Dataset
from cocoa.data.sources import DatasetName, dataset_name, from_anywhere
from cocoa.dynamics.xla.numerics import numerics
from cocoa.environments.spaces import require_installed
from cocoa.errors import RunError, UserError
from cocoa.extras import require
from cocoa.runs import length
from cocoa.runs.checkpoint import read_position
from cocoa.runs.compilations import compilations_noted
from cocoa.runs.console import Console, failure_logged
from cocoa.runs.curves import redraw
from cocoa.runs.experiment import Experiment
from cocoa.runs.folder import (
    acquire,
    checkpoint_path,
    create_run,
    find_run,
    how_to_resume,
    read_config,
    write_config,
)
from cocoa.runs.interface import interface_is_whole
from cocoa.runs.loading import differences, in_environment, load_again, load_dataset
from cocoa.runs.loggers.opened import with_loggers
from cocoa.runs.progress import Interrupted, Stopper
from cocoa.runs.record import NoRecord, Record
from cocoa.runs.study import find, named, starting
from cocoa.runs.summary import read_summary
from cocoa.storage.files import cache_folder, expanded
from cocoa.training import processes
from cocoa.training.devices import offer_cores, start_backend


def run(config: Config, dataset: Dataset | None = None, notes: Sequence[str] = ()) -> Path:
    """Train as `config` says and return the run's folder; `dataset` overrides what `config.dataset` names.

    `notes` are printed and logged at the start. With `config.distributed` every process of the run calls
    this, and gets the same folder.

    Raises a UserError for a mistake of the user, and KeyboardInterrupt after Ctrl-C, when everything is
    saved.
    """
    require_installed(config.env or "")
    import_trusted(config.env or "", trust=True)  # which may register a source of datasets, too
    config = with_loggers(config)
    if config.video:
        require("video", "video=true")
    _place(config)
    if config.study is not None:
        config = named(config, dataset.sha256 if dataset else None)
    warned: list[str] = []
    if dataset is None:
        dataset, warned = load_dataset(config)
        config = replace(config, dataset=from_anywhere(config.dataset))
    dataset = in_environment(dataset, config.env)
    config = replace(config, env=dataset.env)
    notes = (*notes, *differences(config))
    begin = functools.partial(_begin, config, dataset.sha256, notes, warned)
    folder = Path(processes.by_first(lambda: str(begin())))
    if config.study:
        _check_data(folder, config, dataset)
    return _go_on(folder, config, dataset)


def resume(
    folder: str | Path,
    dataset: Dataset | DatasetName | None = None,
    devices: int | None = None,
    distributed: DistributedConfig | None = None,
    updates: int | None = None,
    trust: bool = False,
    online: Mapping[str, Any] | None = None,
) -> Path:
    """Resume the run in `folder` from its last checkpoint, and return the folder.

    The result is bit for bit that of the run without the break, on the same kind of machine; `devices` and
    `distributed` may be other than they were. `dataset` is the same data as before: an object, or the name or
    path under which it is now, and from here on. With `updates` the run ends after this total
    number of updates, and `online` has fields of its online stage that change; step sizes that change over a
    training then follow the new length. If the run's
    `cache_dir` is gone, as on another machine, the default one is used.
    `trust` allows importing the modules that the run's configuration names. Raises RunError if the folder is
    no run, or its dataset has changed.
    """
    folder = find_run(folder)
    config = read_config(folder, trust)
    for reference in (config.env or "", *config.logger):
        import_trusted(reference, trust)
    config = replace(config, devices=devices, distributed=distributed or DistributedConfig())
    if config.cache_dir and not expanded(config.cache_dir, "cache_dir").is_dir():
        config = replace(config, cache_dir=None)  # as of a run that was made on another machine
    before, values = config, to_dict(config)
    changes = {"updates": config.updates if updates is None else updates}
    config = from_dict({**values, **changes, "online": values["online"] | dict(online or {})}, trust)
    longer = length.of(config) != length.of(before)
    if longer:
        length.check(folder, before, config)
    _place(config)
    return _go_on(folder, config, dataset, longer)


def _check_data(folder: Path, config: Config, dataset: Dataset) -> None:
    """Raise RunError if the run of a study in `folder` was begun with other data."""
    before = None
    with contextlib.suppress(RunError):
        before = read_summary(folder).get("dataset_sha256")
    if before not in (None, dataset.sha256):
        raise RunError(
            f"The data of {config.dataset} are not those that {folder} was made with. Start another study=, "
            "or delete that folder."
        )


def _go_on(folder: Path, config: Config, dataset: Dataset | DatasetName | None, longer: bool = False) -> Path:
    """Train the run in `folder` to its end, which is a later one if `longer`, and return the folder."""
    if not longer and _finished(folder) and _policy_is_whole(folder, config):
        if processes.leads():
            redraw(folder)
            Console(folder).say(f"{folder} is finished already; there is nothing to go on with.")
        return folder
    if isinstance(dataset, Dataset):
        _execute(config, in_environment(dataset, config.env), folder)
    elif dataset is None:
        _execute(config, in_environment(load_again(config, folder), config.env), folder)
    else:
        name = dataset_name(dataset)
        data, _ = load_dataset(replace(config, dataset=name))
        moved = replace(config, dataset=from_anywhere(name))
        _execute(moved, in_environment(data, config.env), folder, moved=True)
    return folder


def _place(config: Config) -> None:
    """Find the run's cache and processes, and this one's devices, before anything is computed."""
    cache_folder(config.cache_dir)
    per_process = processes.shared_evenly(len(config.seeds), config.distributed.processes or 1)
    processes.join(config.distributed)
    offer_cores(config.devices, per_process)
    start_backend()
    processes.share(len(config.seeds))  # raises if a number of processes that SLURM set does not fit


def _begin(config: Config, sha256: str, notes: Sequence[str], warned: Sequence[str]) -> Path:
    """Return the folder of a run, made unless its study has it; its log gets notes, and warnings printed."""
    with starting(config):
        if config.study and (begun := find(config)):
            return begun
        folder = create_run(config, sha256)
    for note in (*notes, *idle_settings(config)):
        Console(folder).say(note)
    for text in warned:
        Console(folder).log(text)
    return folder


def _finished(folder: Path) -> bool:
    try:
        return read_summary(folder)["status"] == "finished"
    except (RunError, KeyError):  # a damaged summary is written again
        return False


def _policy_is_whole(folder: Path, config: Config) -> bool:
    """Return whether the files of the last update's policy are there, as they were written."""
    try:
        done = read_position(checkpoint_path(folder), config).step
        return done == config.length and interface_is_whole(folder, config)
    except RunError:
        return False


def _check_episodes(config: Config, dataset: Dataset, folder: Path) -> None:
    """Raise RunError if the bytes of the run's dataset are read as other episodes than before.

    That may be so where the time limit is known by the dataset's name.
    """
    before: dict[str, Any] = {}
    with contextlib.suppress(RunError):
        before = read_summary(folder)
    same_bytes = before.get("dataset_sha256") == dataset.sha256
    if same_bytes and before.get("behaviour_return") not in (None, dataset.behaviour_return):
        raise RunError(
            f"{config.dataset} has the same bytes as the dataset of {folder}, but under this name it is read "
            f"as other episodes. Name it as before: dataset={read_config(folder).dataset}."
        )


def _execute(config: Config, dataset: Dataset, folder: Path, moved: bool = False) -> None:
    lock = filelock.FileLock(folder / ".lock")
    processes.by_first(lambda: acquire(lock, folder))
    console = Console(folder) if processes.leads() else None
    say, debug = (console.say, console.debug) if console else (lambda text: None,) * 2
    logged = failure_logged(console)
    with _released(lock), logged, numerics(), compilations_noted(debug), Stopper(say) as stopper:
        if moved:
            _check_episodes(config, dataset, folder)
        record = (Record if processes.leads() else NoRecord)(config, dataset, folder, say)
        try:
            if moved and processes.leads():
                write_config(folder, replace(read_config(folder), dataset=config.dataset))
            length.keep(config, record)
            Experiment(config, dataset, record, stopper).train()
            processes.meet()
        except Interrupted:
            record.close("interrupted")
            command = how_to_resume(folder, config)
            say(f"Stopped; everything is saved. Go on with: {command}")
            raise KeyboardInterrupt from None
        except BaseException as error:
            with contextlib.suppress(UserError):  # the first error is the one to report
                record.close("failed")
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                raise RunError(
                    f"There is too little memory ({' '.join(str(error).split())[:200]}). Start a new run "
                    "with smaller batches, fewer seeds or smaller networks and models, or on an accelerator "
                    "with stream=true, which keeps the data on the host while policies are trained."
                ) from error
            raise


@contextlib.contextmanager
def _released(lock: filelock.BaseFileLock) -> Iterator[None]:
    """Release a lock at the end, if it is held."""
    try:
        yield
    finally:
        lock.release()
