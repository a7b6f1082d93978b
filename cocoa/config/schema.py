"""Every hyperparameter of a run, typed and with its default; YAML and command line hold differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from cocoa.algos.base import Algorithm
from cocoa.anchors import AnchorVariant
from cocoa.config.extensions import ALGORITHMS, ANCHOR_VARIANTS
from cocoa.config.online import OnlineConfig
from cocoa.config.typed import build, check_choice, literal
from cocoa.data.preprocessing import REWARD_NORMALIZATIONS, DataConfig
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.settings import Settings
from cocoa.dynamics.xla.numerics import HIGHEST
from cocoa.errors import ConfigError
from cocoa.extras import extra_of

MATMUL_PRECISIONS = ("default", "high", HIGHEST)
_MOST_SEEDS = 10_000
WANDB_MODES = ("auto", "online", "offline", "off")


@dataclass(frozen=True)
class DistributedConfig(Settings):
    """One run in several processes, each of which trains its own share of the seeds."""

    coordinator: str | None = None
    """host:port at which the first process listens, the same in all. With auto, SLURM, Open MPI or the TPU
    pod sets all three; without it, this process trains alone."""
    processes: int | None = None
    """How many processes there are. The number of seeds must be a multiple of it."""
    process: int | None = None
    """Which of them this is, from 0; the first writes the run's folder."""


@dataclass(frozen=True)
class Config:
    """A whole run. `cocoa.fit` takes these fields as keyword arguments, the command line as `field=value`."""

    algo: Algorithm
    """The algorithm with its hyperparameters."""
    cocoa: AnchorVariant | None = None
    """Compositional conservatism: the anchor variant with its settings; None trains the plain algorithm."""
    dataset: str = "hopper-demo"
    """A shipped or D4RL name, such as hopper-medium-v2, an HDF5 file, or a list: [a.hdf5,b.hdf5]."""
    env: str | None = None
    """Gymnasium id for evaluation. None takes the dataset's own; without any, nothing is evaluated."""
    seeds: tuple[int, ...] = (0,)
    """One independent training per seed, all in one program. On the command line seeds=4 means [0,1,2,3]."""
    updates: int = 1_000_000
    """Gradient updates per seed."""
    batch_size: int = 256
    """Transitions per update."""
    log_every: int = 1000
    """Updates per chunk on the device; losses are logged as means over a chunk."""
    eval_every: int = 5000
    """Updates between evaluations; a checkpoint precedes each."""
    eval_episodes: int = 10
    """Episodes per seed and evaluation; 0 evaluates nothing."""
    online: OnlineConfig = field(default_factory=OnlineConfig)
    """Further training in the environment, after the updates."""
    data: DataConfig = field(default_factory=DataConfig)
    """Transformation of the dataset."""
    dynamics: EnsembleConfig = field(default_factory=EnsembleConfig)
    """Forward and reverse models: quick, the default, or published. dynamics=quick fits each in about 10,000
    updates, at most 100 epochs; dynamics=published fits much as COCOA's authors do, until no member
    improves."""
    devices: int | None = None
    """Number of devices of each process over which the seeds are spread evenly. None takes as many as that
    allows of the accelerators or, on a CPU, of the cores."""
    stream: bool | None = None
    """Keep the data in the host's memory. Devices get what the next updates draw. None does so only if the
    data would fill more than half of a device's memory. Models are fitted on a device all the same."""
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    """The other processes of the run, if it has several."""
    matmul_precision: str = HIGHEST
    """Precision of the matrix products of updates: highest, high or default. highest is float32; default is
    JAX's own, TF32 on recent GPUs and bfloat16 on TPUs. A CPU computes all three in float32. Models, anchors,
    evaluations and saved policies always have the highest."""
    logger: tuple[str, ...] = ("csv", "wandb")
    """Where to log: csv (always written), wandb, tensorboard, or module:Class."""
    wandb: str = "auto"
    """auto, online, offline, off. auto obeys W&B's own settings ($WANDB_MODE, `wandb offline`), and without
    them is online where a key is set, else offline; the others overrule them."""
    wandb_project: str | None = None
    """Weights & Biases project; None takes $WANDB_PROJECT or cocoa."""
    wandb_artifacts: bool = False
    """Upload the files of the final policy as a W&B artifact."""
    video: bool = False
    """Film an episode of each seed's final policy, as videos/<seed>.mp4 in the run's folder."""
    name: str | None = None
    """Name of the run's folder; None takes the time."""
    study: str | None = None
    """A folder in runs_dir for the runs of a study. They are named by their settings: a run that is started
    again goes on where it was cut, and a finished one is not repeated."""
    runs_dir: str = "runs"
    """Where run folders are made."""
    cache_dir: str | None = None
    """Folder of models and anchors. None takes $COCOA_CACHE or ~/.cache/cocoa."""

    @property
    def variant(self) -> str | None:
        """The name of the anchor variant; None in a plain run."""
        return self.cocoa.name if self.cocoa else None

    @property
    def length(self) -> int:
        """The length of the run as its metrics count it: updates, then environment steps."""
        return self.updates + self.online.steps

    def position(self, step: int) -> str:
        """Return where a run is at a step of its metrics, in words: `update 500`, `environment step 20`."""
        done = step - self.updates
        return f"environment step {done:,}" if done > 0 else f"update {step:,}"

    @property
    def all_updates(self) -> int:
        """The updates per seed, with those of the online stage: what schedules go by."""
        return self.updates + max(0, self.online.steps - self.online.warmup) * self.online.updates_per_step


def defaults_of(config: Config) -> Config:
    """Return a configuration of the same algorithm and variant of anchors, all else at its defaults."""
    return Config(type(config.algo)(), type(config.cocoa)() if config.cocoa else None)


def seeds_of(value: Any) -> tuple[Any, ...]:
    """Return the seeds that a number of seeds, or a sequence of them, stands for. Raises ConfigError."""
    value = value.tolist() if hasattr(value, "tolist") else value  # NumPy's
    if type(value) is int and 1 <= value <= _MOST_SEEDS:
        return tuple(range(value))
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return tuple(value)
    raise ConfigError(
        f"seeds={literal(value)} is not possible: seeds must be a number of seeds, 1 to {_MOST_SEEDS:,}, or "
        "a list of different ones: seeds=4, seeds=[3,7]. A sweep over single ones is -m seeds=[3],[7]."
    )


def to_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as nested dicts of plain values.

    `algo.name` and `cocoa.variant` say which classes these are. Raises ConfigError if a class could not be
    found again.
    """
    values = asdict(config)
    values["algo"] = {"name": ALGORITHMS.reference(type(config.algo)), **values["algo"]}
    if config.cocoa is not None:
        values["cocoa"] = {"variant": ANCHOR_VARIANTS.reference(type(config.cocoa)), **values["cocoa"]}
    return values


def from_dict(values: Mapping[str, Any], trust: bool = False) -> Config:
    """Return the configuration of which `to_dict` made `values`; a missing field takes its default.

    Raises ConfigError for an unknown field or class, a wrong type, or a value that `validate` refuses;
    RunError for a class whose module is not imported yet, unless `trust` allows that.
    """
    hyperparameters = dict(values.get("algo") or {})
    algorithm = build(ALGORITHMS.find(hyperparameters.pop("name", None), trust), hyperparameters, "algo.")
    variant = None
    if values.get("cocoa") is not None:
        settings = dict(values["cocoa"])
        variant = build(ANCHOR_VARIANTS.find(settings.pop("variant", None), trust), settings, "cocoa.")
    config = build(Config, {**values, "algo": algorithm, "cocoa": variant})
    validate(config)
    return config


def names_modules(config: Config) -> bool:
    """Return whether a configuration names modules, which another process imports only with trust."""
    values = to_dict(config)
    references = values["algo"]["name"], (values["cocoa"] or {}).get("variant"), config.env, *config.logger
    modules = [reference.partition(":")[0] for reference in references if reference and ":" in reference]
    return any(extra_of(module) is None for module in modules)


_MAY_BE_ZERO = ("eval_episodes", "distributed.process", "online.steps", "online.warmup")
_ANY_SIGN = ("data.reward_scale", "data.reward_shift")


def validate(config: Config) -> None:
    """Raise ConfigError for a value that is out of range, whatever the algorithm and anchor variant.

    These check their own fields in `__post_init__`, with a ValueError.
    """
    check_choice("wandb", config.wandb, WANDB_MODES)
    check_choice("matmul_precision", config.matmul_precision, MATMUL_PRECISIONS)
    check_choice("data.reward_normalization", config.data.reward_normalization, REWARD_NORMALIZATIONS)
    seeds = config.seeds  # JAX makes keys of 32 bits
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
        raise ConfigError(
            f"seeds={literal(seeds)} is not possible: seeds must be a number of seeds or a list of different "
            "ones from 0 to 2^32 - 1: seeds=4, seeds=[3,7]."
        )
    if config.data.reward_scale == 0:
        raise ConfigError("data.reward_scale=0 is not possible: all rewards would be the same.")
    if not 0 < config.data.top_episodes <= 1:
        raise ConfigError(
            f"data.top_episodes={config.data.top_episodes} is not possible: it must be above 0 and at most 1."
        )
    if not 0 <= (config.data.validation or 0) < 1:
        raise ConfigError(
            f"data.validation={config.data.validation} is not possible: it must be at least 0 and below 1."
        )
    if not 0 <= config.algo.discount <= 1:
        raise ConfigError(f"algo.discount={config.algo.discount} is not possible: it must be from 0 to 1.")
    if config.cocoa and not config.cocoa.encoder_hidden:
        raise ConfigError("cocoa.encoder_hidden must have a width at least: the last one is the feature's.")
    if config.study is not None and (config.study in (".", "..") or set(config.study) & set("/\\\0")):
        raise ConfigError(f"study={config.study} is not possible: it must be the name of a folder.")
    for name in ("dataset", "env", "runs_dir", "study"):
        if getattr(config, name) == "":
            raise ConfigError(f"{name}= is empty: give a value, or leave it out.")
    for name, number in _numbers(config):
        zero = name in _MAY_BE_ZERO or (name == "updates" and config.online.steps)
        least = 1 if isinstance(number, int) and not zero else 0
        if number < least and name not in _ANY_SIGN:
            raise ConfigError(f"{name}={number} is not possible: {name} must be at least {least}.")
    _validate_ensemble(config.dynamics, max(1, config.algo.members))
    _validate_distributed(config.distributed)
    for name in ("log_every", "eval_every") if config.online.steps else ():
        if getattr(config, name) % config.online.every:
            raise ConfigError(
                f"{name}={getattr(config, name)} is not possible with online.steps={config.online.steps}: it "
                f"must be a multiple of online.every={config.online.every}."
            )


def _validate_distributed(config: DistributedConfig) -> None:
    numbers = config.processes, config.process
    if config.coordinator in (None, "auto"):
        if numbers != (None, None):
            raise ConfigError(
                "distributed.processes and distributed.process need distributed.coordinator=host:port, the "
                "address of the first process."
            )
    elif config.processes is None or config.process is None or config.process >= config.processes:
        raise ConfigError(
            f"distributed.coordinator={config.coordinator} needs distributed.processes, how many there are, "
            "and distributed.process, which of them this is, from 0."
        )
    elif not config.coordinator.rpartition(":")[2].isdigit():
        raise ConfigError(
            f"distributed.coordinator={config.coordinator} must be host:port, as in node1:1234."
        )


def _validate_ensemble(config: EnsembleConfig, least_elites: int) -> None:
    if config.elites < least_elites:
        raise ConfigError(
            f"dynamics.elites={config.elites} is not possible: at least {least_elites} are needed, to be "
            "compared with each other."
        )
    if config.elites > config.members:
        raise ConfigError(
            f"dynamics.elites={config.elites} is not possible: there are {config.members} members "
            "(dynamics.members)."
        )
    if len(config.weight_decay) != len(config.hidden) + 1:
        raise ConfigError(
            f"dynamics.weight_decay has {len(config.weight_decay)} entries, but must have one for each of "
            f"the {len(config.hidden)} layers of dynamics.hidden and one for the output."
        )
    if not config.holdout_fraction < 1:
        raise ConfigError(f"dynamics.holdout_fraction={config.holdout_fraction} leaves nothing to train on.")


def _numbers(node: Any, path: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield the numbers of a configuration with their names; of algorithm and variant those that all have."""
    bases = [base for base in (Algorithm, AnchorVariant) if isinstance(node, base)]
    for item in fields(bases[0] if bases else node):
        value, name = getattr(node, item.name), path + item.name
        if is_dataclass(value):
            yield from _numbers(value, name + ".")
        for number in value if isinstance(value, tuple) and name != "seeds" else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield name, number
