"""A whole collection: its folder and lock, its stages in their order, and how it ends."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from cocoa.collection.card import References, Row, draw_returns, write_card
from cocoa.collection.hdf5 import write_hdf5
from cocoa.collection.minari import check_names, write_minari
from cocoa.collection.policies import medium_steps, record
from cocoa.collection.sets import columns, pieces_of
from cocoa.collection.settings import Collection, collection, command, decisive, file_name, stem
from cocoa.collection.setup import Setup
from cocoa.collection.training import PolicyTraining, trained
from cocoa.config.extensions import import_trusted
from cocoa.config.program import program
from cocoa.config.typed import literal
from cocoa.data import load
from cocoa.dynamics.xla.numerics import numerics
from cocoa.dynamics.xla.program_cache import keep_compilations
from cocoa.environments.spaces import spaces
from cocoa.errors import ConfigError, RunError
from cocoa.extras import require
from cocoa.runs.console import Console, failure_logged
from cocoa.runs.progress import Interrupted, Stopper
from cocoa.runs.provenance import provenance
from cocoa.storage.files import atomic_write, cache_folder, expanded, read_regular, write_error
from cocoa.training.devices import describe, offer_cores, start_backend
from cocoa.training.stepping import action_map

SETTINGS = "collection.json"


def collect(env: str, **fields: Any) -> Path:
    """Train SAC in the environment `env`, write D4RL-like sets of its steps, and return their folder.

    The fields are those of `cocoa collect --help`: `transitions=1_000_000`, `sets=("medium", "expert")`,
    `seeds=2`, `folder="sets"`, `algo={"discount": 0.98}`... The folder gets a file for each set and seed,
    such as Hopper-v5-medium.hdf5, which `load` and `fit` take by its path, a README.md with a table of them,
    and a histogram of their returns. A call with the same fields goes on where an earlier one was stopped,
    bit for bit, and makes only what is not there yet. Raises a `UserError` for a mistake of the user, and
    KeyboardInterrupt after Ctrl-C, when everything is saved.
    """
    return run(collection({"env": env, **fields}))


def run(settings: Collection) -> Path:
    """Make the sets that the settings ask for and return their folder; see `collect`."""
    if "minari" in settings.format:
        require("minari", "format=minari")
    import_trusted(settings.env, trust=True)
    spaces(settings.env)  # before a folder is made: the environment may turn out to be unusable
    offer_cores(settings.devices, len(settings.seeds))
    start_backend()
    keep_compilations(cache_folder(None) / "compiled")
    folder = expanded(settings.folder or f"collected/{stem(settings)}", "folder")
    with _locked(folder), numerics():
        _claim(folder, settings)
        if "minari" in settings.format:
            names = [file_name(settings, kind, seed) for kind in settings.sets for seed in settings.seeds]
            check_names(folder, names)  # and not after hours of training
        console = Console(folder)
        say = console.say
        with failure_logged(console), Stopper(say) as stopper:
            try:
                _collect(Setup(settings, folder, say, stopper))
            except Interrupted:
                where = f" folder={settings.folder}" if settings.folder else ""
                say(f"Stopped; everything is saved. Go on with: {command(settings, program())}{where}")
                raise KeyboardInterrupt from None
    return folder


def _collect(setup: Setup) -> None:
    """Run the stages that are not done yet."""
    settings, say = setup.settings, setup.say
    say(f"Folder: {setup.folder}")
    if trained(setup) < settings.steps:
        say(describe(setup.mesh, len(settings.seeds)))
        PolicyTraining(setup).run()
    steps = [settings.steps] * len(settings.seeds)
    record(setup, "random", steps)
    record(setup, "expert", steps)
    medium = medium_steps(setup)
    if {"medium", "medium-expert"} & {*settings.sets}:
        record(setup, "medium", medium)
    rows = [
        _write_set(setup, kind, row, medium[row])
        for kind in settings.sets
        for row in range(len(settings.seeds))
    ]
    draw_returns(setup.folder / "returns.png", rows)
    write_card(setup.folder, settings, rows, dict(zip(settings.seeds, medium, strict=True)), _versions())
    say("The sets are written; README.md in their folder has a table of them.")


def _write_set(setup: Setup, kind: str, row: int, medium: int) -> Row:
    """Write a set of the seed at `row` in the formats in which it is not there yet; return the card's row."""
    settings, seed = setup.settings, setup.settings.seeds[row]
    references = References.of(*(setup.log(name).returns(row) for name in ("random", "expert")))
    path = setup.folder / f"{file_name(settings, kind, seed)}.hdf5"
    if not path.exists():
        to_environment = action_map(settings.env, setup.scaling)
        slices = (
            rows
            for piece in pieces_of(kind, setup, medium)
            for rows in columns(piece, setup, row, to_environment)
        )
        write_hdf5(path, slices, _attributes(setup, kind, row, references, medium))
        setup.say(f"Wrote {path.name}")
    dataset = load(path)
    setup.stopper.check()
    if "minari" in settings.format:
        write_minari(setup, path, dataset, references)
    several = len(settings.seeds) > 1
    return Row.of(dataset, f"{kind} of seed {seed}" if several else kind, references)


def _attributes(setup: Setup, kind: str, row: int, references: References, medium: int) -> dict[str, Any]:
    """Return where a set comes from."""
    settings = setup.settings
    steps = {"random": 0, "medium": medium, "medium-replay": medium}.get(kind, settings.steps)
    scale: dict[str, Any] = {
        "reference_returns": np.array(references.scale),
        "reference": "mean returns of this collection's random actions (0 %) and last policy (100 %)",
    }
    return {
        "env_id": settings.env,
        "set": kind,
        "algorithm": "SAC",
        "seed": settings.seeds[row],
        "training_steps": steps,
        "configuration": json.dumps(decisive(settings)),
        "command": command(settings),
        "versions": json.dumps(provenance()["versions"]),
        **(scale if references.scale else {}),
    }


def _versions() -> str:
    """Return the versions on which the sets depend, in words."""
    versions = provenance()["versions"]
    names = ("cocoa-rl", "gymnasium", "mujoco", "jax")
    return ", ".join(f"{name} {versions[name]}" for name in names if versions.get(name))


@contextlib.contextmanager
def _locked(folder: Path) -> Any:
    """Make the folder and hold its lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", blocking=False):
            yield
    except filelock.Timeout as error:
        raise RunError(f"{folder} is being written by another process.") from error
    except OSError as error:
        raise write_error(folder, error) from error


def _claim(folder: Path, settings: Collection) -> None:
    """Note in the folder what it holds. Raises ConfigError if it holds steps of other settings."""
    note, wanted = folder / SETTINGS, decisive(settings)
    if not note.exists():
        if any(path.name not in (".lock", "log.txt") for path in folder.iterdir()):
            raise ConfigError(f"folder={folder} holds other files: choose a new or empty folder.")
        atomic_write(note, (json.dumps(wanted, indent=2) + "\n").encode())
    try:
        before = json.loads(read_regular(note, limit=2**20))
        different = [name for name in wanted if before.get(name) != wanted[name]]
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{note} is damaged: collect in another folder=.") from error
    if different:
        name = different[0]
        raise ConfigError(
            f"{folder} holds steps of another collection: {name} was {literal(before.get(name))} and is "
            f"{literal(wanted[name])} here. Choose another folder=, or repeat the command as it was."
        )
