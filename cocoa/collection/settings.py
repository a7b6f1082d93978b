"""Every field of a collection, with its default."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cocoa.algos.base import check_at_least
from cocoa.algos.sac import SAC
from cocoa.config.schema import seeds_of
from cocoa.config.typed import build, check_choice, leaves, literal, put
from cocoa.errors import ConfigError

SETS = ("random", "medium", "medium-replay", "medium-expert", "expert", "full-replay")
"""D4RL's names of what is recorded."""
FORMATS = ("hdf5", "minari")


@dataclass(frozen=True)
class Collection:
    """Which sets are made, and how the policies are trained; numbers of steps are per seed.

    The policies are trained by SAC in the environment, with the settings of its authors (arXiv 1812.05905).
    """

    env: str = ""
    """Gymnasium id of the environment: vectors of continuous observations and actions."""
    sets: tuple[str, ...] = SETS
    """random: uniform actions. expert: the last policy. medium: the first policy whose evaluation reaches a
    third of the expert's, counted from random actions. medium-expert: both. medium-replay: all steps of the
    training before the medium policy. full-replay: all steps of the training. Policies act at random, as in
    training."""
    transitions: int = 1_000_000
    """Steps of the sets random, medium and expert each, of which whole episodes are written."""
    format: tuple[str, ...] = ("hdf5",)
    """hdf5: D4RL's files in the folder. minari: datasets in Minari's own folder, which need its extra."""
    seeds: tuple[int, ...] = (0,)
    """One independent training, with sets of its own, per seed. On the command line seeds=2 means [0,1]."""
    steps: int = 1_000_000
    """Environment steps of the training, all of which are kept."""
    envs: int = 1
    """Instances of the environment per seed, stepped side by side."""
    warmup: int = 1000
    """Steps with uniform actions before the first update (rlkit, with which D4RL was made)."""
    every: int = 50
    """Steps of a block, after which as many updates are made in one call of the device."""
    updates_per_step: int = 1
    """Updates per environment step."""
    overlap: bool = True
    """Step a block with the policy before the last updates, which run at the same time; false steps with the
    newest policy, and waits for it. The results do not depend on how long either takes."""
    batch_size: int = 256
    """Transitions per update."""
    eval_every: int = 5000
    """Steps between evaluations, at each of which the policy is kept and everything is saved."""
    eval_episodes: int = 10
    """Episodes per evaluation, of the policy without noise."""
    devices: int | None = None
    """Number of devices over which the seeds are spread. None takes as many as that allows of the
    accelerators or, on a CPU, of the cores."""
    folder: str | None = None
    """Where the sets and the state of the training are kept. None takes collected/<env>."""
    algo: SAC = field(default_factory=SAC)
    """The hyperparameters of SAC."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        check_at_least(1, self, "transitions", "steps", "envs", "every", "updates_per_step", "batch_size")
        check_at_least(1, self, "eval_every", "eval_episodes")
        check_at_least(0, self, "warmup")
        if self.every % self.envs:
            raise ValueError(f"every={self.every} must be a multiple of envs={self.envs}")
        for name in ("steps", "eval_every", "warmup"):
            if getattr(self, name) % self.every:
                raise ValueError(f"{name}={getattr(self, name)} must be a multiple of every={self.every}")


def collection(values: Mapping[str, Any]) -> Collection:
    """Return the collection with these values, by dotted names, and defaults. Raises ConfigError."""
    chosen = asdict(Collection())
    for name, value in values.items():
        put(chosen, name, value)
    chosen["seeds"] = seeds_of(chosen["seeds"])
    for name in ("sets", "format"):
        if isinstance(chosen[name], str):
            chosen[name] = chosen[name].split(",")
    built = build(Collection, chosen)
    if not built.env:
        raise ConfigError("Name the environment to collect in: cocoa collect env=HalfCheetah-v5.")
    if built.steps <= built.warmup:
        raise ConfigError(
            f"steps={built.steps} must be more than warmup={built.warmup}, the first steps, with random "
            "actions: no policy would be trained. Set more steps or a smaller warmup."
        )
    for name, options in (("sets", SETS), ("format", FORMATS)):
        for value in getattr(built, name):
            check_choice(name, value, options)
    if len({*built.seeds}) < len(built.seeds) or min(built.seeds) < 0 or max(built.seeds) >= 2**32:
        raise ConfigError(f"seeds={literal(built.seeds)} must be different numbers from 0 to 2^32 - 1.")
    return built


_PLACES = ("devices", "folder")
_OUTPUT = (*_PLACES, "sets", "format")


def decisive(settings: Collection) -> dict[str, Any]:
    """Return the values on which the recorded steps depend, by dotted names, as JSON has them."""
    values = {name: value for name, value in asdict(settings).items() if name not in _OUTPUT}
    return dict(leaves(json.loads(json.dumps(values))))


def command(settings: Collection, program: str = "cocoa") -> str:
    """Return the command that makes the same sets, as typed with `program`."""
    defaults = dict(leaves(asdict(Collection())))
    words = [
        shlex.quote(f"{name}={literal(value)}")
        for name, value in leaves(asdict(settings))
        if value != defaults[name] and name not in _PLACES
    ]
    return " ".join([f"{program} collect", *words])


def stem(settings: Collection) -> str:
    """Return how the names of files begin: the environment's id as the name of a file."""
    return re.sub(r"[^\w.-]", "-", settings.env.rpartition(":")[2])


def file_name(settings: Collection, kind: str, seed: int) -> str:
    """Return the name of a set, without a suffix; it names the seed if there are several."""
    return f"{stem(settings)}-{kind}" + (f"-seed{seed}" if len(settings.seeds) > 1 else "")
