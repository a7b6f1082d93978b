"""The command line: flags, several runs in a row, and what the user sees of an error."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf

from cocoa.config.compose import compose, expand, parse, replaced, rewrite, store_defaults
from cocoa.config.help import help_text
from cocoa.config.presets import preset_notes
from cocoa.config.schema import Config, to_dict
from cocoa.errors import ConfigError, RunError, UserError
from cocoa.runs.terminal import printing_error, protect_streams

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
_LAUNCHING = ("hydra/launcher", "hydra.launcher.")
_AT_RESUME = ("devices=", "distributed.", "dataset=", "updates=")
"""What may be given beside resume=: where the run goes on, finds its data, and ends."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for and return the exit status: 2 for a mistake of the user."""
    protect_streams()
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        print("Error: Too many files are open. Allow more: ulimit -n 1024.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def _main(arguments: Sequence[str]) -> int:
    flags, overrides = _split(arguments)
    _check_surroundings(overrides)
    if flags.help:
        _print(help_text(overrides))
    elif any(override.startswith("resume=") for override in overrides):
        if flags.multirun or flags.cfg or flags.info:
            raise ConfigError("resume= goes on with one run: leave out -m, --cfg and --info.")
        _resume(overrides, flags.trust)
    elif flags.trust:
        raise ConfigError("--trust has no effect without resume=: it is about what a run's folder names.")
    elif flags.cfg == "job" and flags.multirun:
        _print("\n".join(_described(job) for job, _ in _jobs(overrides)))
    elif flags.cfg == "job":
        _print(_described(_without_hydra(overrides)))
    elif flags.multirun:
        if flags.cfg or flags.info:
            raise ConfigError("Hydra's own settings are shown of one run alone: leave out -m.")
        return _multirun(overrides)
    elif flags.cfg or flags.info:
        _, presets = compose(overrides)
        settings = [setting for preset in presets for setting in preset.overrides]
        _hydra([f"--cfg={flags.cfg}"] if flags.cfg else ["--info=all"], [*settings, *overrides])
    else:
        _run(_without_hydra(overrides))
    return 0


def _print(text: str) -> None:
    """Print what was asked for. Raises RunError if it is lost, as on a full disk."""
    print(text)
    if error := printing_error():
        raise RunError(f"The output cannot be written ({error.strerror}).")


def _check_surroundings(overrides: Sequence[str]) -> None:
    """Raise a UserError for a working directory that is gone, or names that are no text."""
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        raise RunError("The working directory was deleted. Change to another one: cd ~") from error
    for text in (*overrides, here):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{text!a} has bytes that are no text in the encoding of file names here "
                f"({sys.getfilesystemencoding()}). Set PYTHONUTF8=1, or rename it."
            ) from error


def _split(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags, wherever they stand, and all other arguments. Raises ConfigError."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("-i", "--info", action="store_true")
    parser.add_argument("--trust", action="store_true")
    try:
        flags, overrides = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}. python train.py --help shows the flags.") from error
    for argument in overrides:
        if argument.startswith("-"):
            raise ConfigError(
                f"Unknown flag {argument}. The flags are --help, -m, --cfg job, --info and --trust; fields "
                f"are given without dashes: {argument.lstrip('-').partition('=')[0]}=..."
            )
    return flags, overrides


def _without_hydra(overrides: Sequence[str]) -> Sequence[str]:
    """Return the overrides of a single run. Raises ConfigError for one of Hydra's own settings."""
    for override in parse(overrides):
        if override.is_hydra_override():
            raise ConfigError(
                f"{override.input_line} has no effect on a single run. Its folder is below runs_dir= and is "
                "named by name=; Hydra's own settings are for -m with one of its launchers."
            )
    return overrides


def _run(overrides: Sequence[str]) -> None:
    config, presets = compose(overrides)
    from cocoa.runs import launch  # slow to import, and not needed to tell that the configuration is wrong

    launch.run(config, notes=[*replaced(overrides), *preset_notes(config, presets)])


def _resume(arguments: Sequence[str], trust: bool) -> None:
    """Go on with a run, whose folder is taken as it stands, whatever characters are in it."""
    folders = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    given = [argument for argument in arguments if not argument.startswith("resume=")]
    others = [argument for argument in given if not argument.startswith(_AT_RESUME)]
    if others:
        raise ConfigError(
            "A run is resumed with its own configuration: give resume=... alone, without "
            f"{shlex.join(others)}. To change a field, start a new run; it finds the models and anchors of "
            "the old one. Only devices=, distributed.*, updates= and a dataset= that has moved may be given."
        )
    if len(folders) > 1:
        raise ConfigError("resume= is given more than once: runs are resumed one by one.")
    if not folders[0]:
        raise ConfigError("resume= is empty: give the folder of a run, as in resume=runs/hopper-demo/iql/...")
    where, _ = compose(given)
    moved = where.dataset if any(argument.startswith("dataset=") for argument in given) else None
    updates = where.updates if any(argument.startswith("updates=") for argument in given) else None
    from cocoa.runs import launch

    places = {"devices": where.devices, "distributed": where.distributed}
    launch.resume(folders[0], moved, **places, updates=updates, trust=trust)


def _described(overrides: Sequence[str]) -> str:
    """Return the whole configuration as a YAML document."""
    config, presets = compose(overrides)
    notes = [f"# {line}" for line in (*replaced(overrides), *preset_notes(config, presets))]
    return "\n".join(["---", *notes, OmegaConf.to_yaml(OmegaConf.create(to_dict(config))).rstrip("\n")])


def _jobs(overrides: Sequence[str]) -> list[tuple[list[str], Config]]:
    """Return the arguments and the configuration of each run of `-m`; of runs that are equal, the first."""
    jobs: dict[str, tuple[list[str], Config]] = {}
    for job in expand(overrides):
        config, _ = compose(job)
        first, _ = jobs.setdefault(repr(config), (job, config))
        if first is not job:
            print(f"Left out: {shlex.join(job)} is the same as {shlex.join(first)}", file=sys.stderr)
    return list(jobs.values())


def _multirun(overrides: Sequence[str]) -> int:
    """Run every combination of the values given with commas, each in a process of its own.

    All are composed before the first starts. A failed one does not stop the others. With one of Hydra's
    launchers (`hydra/launcher=joblib`) it decides where and when they run.
    """
    settings = [override for override in parse(overrides) if override.is_hydra_override()]
    _check_settings(settings)
    jobs = _jobs(overrides)
    _check_folders(jobs)
    if settings:
        _launch(jobs, [override.input_line or "" for override in settings])
        return 0
    failed = []
    for number, (job, _) in enumerate(jobs, start=1):
        print(f"[{number}/{len(jobs)}] {shlex.join(job)}", file=sys.stderr, flush=True)
        status = _call([sys.executable, sys.argv[0], *job])
        if status == INTERRUPTED:
            for later, _ in jobs[number:]:
                print(f"Not started: {shlex.join(later)}", file=sys.stderr)
            return INTERRUPTED
        if status:
            failed.append(shlex.join(job))
    for job in failed:
        print(f"Failed: {job}", file=sys.stderr)
    return 1 if failed else 0


def _check_settings(settings: Sequence[Override]) -> None:
    """Raise ConfigError for settings of Hydra that have no effect on several runs."""
    launched = any(override.key_or_group.startswith(_LAUNCHING) for override in settings)
    for override in settings:
        if override.key_or_group.startswith("hydra/sweeper"):
            raise ConfigError(
                f"{override.input_line} is not possible: values come from the command line. To search, "
                "call cocoa.fit from the program that proposes them."
            )
        if not launched or override.key_or_group.startswith(("hydra.run.", "hydra.output_subdir")):
            raise ConfigError(
                f"{override.input_line} has no effect on runs of -m, whose folders are below runs_dir=. "
                "Hydra's own settings are for its launchers, such as hydra/launcher=joblib."
            )


def _check_folders(jobs: Sequence[tuple[Sequence[str], Config]]) -> None:
    """Raise ConfigError if a name= would make two runs share a folder."""
    from cocoa.runs.places import method  # slow to import

    taken: dict[Any, Sequence[str]] = {}
    for job, config in jobs:
        folder = config.runs_dir, config.dataset, method(config), config.name
        if config.name is not None and folder in taken:
            raise ConfigError(
                f"name={config.name} would give {shlex.join(taken[folder])} and {shlex.join(job)} the same "
                "folder. Leave it out, so that each run is named by its time."
            )
        taken[folder] = job


def _call(command: Sequence[str]) -> int:
    """Run a training in a process of its own, wait until it has saved all it wants, return its status."""
    child: subprocess.Popen[bytes] | None = None
    stopped = False

    def stop(_: int, __: object) -> None:
        nonlocal stopped
        stopped = True
        if child is not None:  # which may have had the same from the terminal, and then ignores this
            child.terminate()

    # Elsewhere than in the main thread, where a launcher may call this, Python handles no signals.
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM) if main}
    try:
        child = subprocess.Popen(command)
        if stopped:  # before the child was known
            child.terminate()
        status = child.wait()
        return INTERRUPTED if stopped else status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _launch(jobs: Sequence[tuple[Sequence[str], Config]], settings: Sequence[str]) -> None:
    """Let the launcher that Hydra's `settings` name run the jobs.

    Hydra would compose each itself, and knows nothing of presets and idle fields: it gets one field, `job`,
    whose values are command lines.
    """
    lines = ",".join(_quoted(shlex.join(job)) for job, _ in jobs)
    places = {config.runs_dir for _, config in jobs}
    where = [f"runs_dir={_quoted(places.pop())}"] if len(places) == 1 else []
    _hydra(["--multirun"], [*settings, *where, f"+job={lines}"])


def _quoted(text: str) -> str:
    """Return a text in Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def _hydra(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Hand the command line to Hydra's own application, whose jobs are this program in another process."""
    program = [sys.executable, os.path.abspath(sys.argv[0])]

    def job(_: DictConfig) -> None:
        task = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        (line,) = (line for line in cast(list[str], task) if line.startswith("+job="))
        command = [*program, *shlex.split(str(parse([line])[0].value()))]
        status = _call(command)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        if status:
            raise CompactHydraException(f"Exit status {status}: {shlex.join(command)}")

    store_defaults()
    sys.argv[1:] = [*flags, *map(rewrite, overrides)]
    hydra.main(version_base="1.3", config_path="pkg://cocoa.configs", config_name="config")(job)()
