"""What a search is: its command, and the file in the study's folder that holds it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json

from cocoa.config.compose import compose
from cocoa.config.schema import Config
from cocoa.config.typed import build, check_choice
from cocoa.errors import ConfigError, RunError
from cocoa.runs.places import study_folder
from cocoa.runs.study import named
from cocoa.storage.files import atomic_write, read_regular, reason
from cocoa.tuning.space import Space, read_space

PRUNERS = ("median", "none")
STORAGES = ("journal", "sqlite")
OBJECTIVES = ("iqm", "fqe")
_FILE = "search.json"
_LIMIT = 2**20


@dataclass(frozen=True)
class Options:
    """The fields of a search that are not those of its runs."""

    trials: int = 20
    """Trials in all, those of other processes and earlier launches included."""
    objective: str = "iqm"
    """iqm: the interquartile mean over seeds of the last evaluation's scores; fqe: that of the estimates by
    fitted Q evaluation, without an environment and without pruning."""
    pruner: str = "median"
    """median stops a trial whose evaluations are below the median of the others; none lets all end."""
    sampler_seed: int = 0
    """Seed of the proposals."""
    storage: str = "journal"
    """Where Optuna keeps the trials: journal, a file of lines, or sqlite."""

    def __post_init__(self) -> None:
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("pruner", self.pruner, PRUNERS)
        check_choice("storage", self.storage, STORAGES)
        if self.trials < 1:
            raise ValueError(f"trials={self.trials} is not possible: at least one trial is needed")


@dataclass(frozen=True)
class Plan:
    """A search: the arguments of its runs with their ranges, and how it goes on."""

    words: tuple[str, ...]
    options: Options
    space: Space
    first: Config
    """The configuration at the lower ends of all ranges."""
    settings: str
    """The name of the run of that configuration, by which searches with other settings are told apart."""

    @property
    def study(self) -> Path:
        """The folder of the runs."""
        return study_folder(self.first)

    @property
    def folder(self) -> Path:
        """The folder of the search itself."""
        return tuning_folder(self.study)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this search: another command may go on with it if this is the same."""
        options = {name: value for name, value in asdict(self.options).items() if name != "trials"}
        ranges = {name: distribution_to_json(spread) for name, spread in self.space.distributions.items()}
        return {**options, "ranges": ranges, "settings": self.settings}


def tuning_folder(study: Path) -> Path:
    """Return the folder of a search in that of its study."""
    return study / "tuning"


def make_plan(arguments: Sequence[str]) -> Plan:
    """Return the search of a command line. Raises ConfigError for what is not possible in any trial."""
    names = {field.name for field in fields(Options)}
    own = [word for word in arguments if word.partition("=")[0] in names]
    words = tuple(word for word in arguments if word not in own)
    options = build(Options, {name: _number(value) for name, _, value in (w.partition("=") for w in own)})
    space = read_space(words)
    first, _ = compose(space.words(space.first))
    if first.study is None:
        raise ConfigError("Name the study, whose folder holds the search: study=<name>.")
    if first.eval_episodes == 0 and options.objective == "iqm":
        raise ConfigError("eval_episodes=0 leaves no score to search by: give at least 1, or objective=fqe.")
    if "data.validation" in space.distributions and options.objective == "fqe":
        raise ConfigError(
            "data.validation is not possible to search with objective=fqe, which estimates on the episodes "
            "that are held out: give it one value."
        )
    return Plan(words, options, space, first, named(first).name or "")


def keep(plan: Plan) -> None:
    """Write the plan to its folder. Raises ConfigError if the folder has another search already."""
    path = plan.folder / _FILE
    if not path.exists():
        content = {"command": shlex.join(plan.words), **plan.identity}
        atomic_write(path, f"{json.dumps(content, indent=2)}\n".encode())
        return
    before = read_search(plan.study)
    for name, value in plan.identity.items():
        if before.get(name) != value:
            raise ConfigError(
                f"{plan.study} has a search with other {name.replace('_', ' ')}, and its trials would not "
                f"compare. Choose another study=, or go on with it by: {before['command']}"
            )


def read_search(study: Path) -> Mapping[str, Any]:
    """Return the stored command and identity of the search in a study's folder. Raises RunError."""
    path = tuning_folder(study) / _FILE
    try:
        content = json.loads(read_regular(path, _LIMIT))
        if not isinstance(content, dict) or not {"command", "ranges", "storage"} <= content.keys():
            raise ValueError("it holds no search")
        return content
    except FileNotFoundError as error:
        raise RunError(f"There is no search in {study}. Name a study's folder, as in runs/first.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read ({reason(error)}).") from error


def _number(text: str) -> Any:
    """Return a whole number, or the text."""
    return int(text) if text.lstrip("-").isdigit() else text
