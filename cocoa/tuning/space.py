"""Search spaces: ranges and choices in the grammar of Hydra's sweeps, as Optuna's distributions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Sweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from cocoa.config.compose import compose, parse
from cocoa.config.effect import SURROUNDINGS
from cocoa.config.schema import Config, to_dict
from cocoa.config.typed import leaves, literal
from cocoa.errors import ConfigError

_NOT_TUNED = {*SURROUNDINGS, "dataset", "env", "seeds", "eval_every", "eval_episodes", "log_every"}
"""Fields whose values would not be compared by their scores."""
_EXAMPLE = (
    "Give one as algo.expectile=interval(0.5,0.99), algo.temperature=choice(1,3,10), "
    "algo.hidden=choice([64],[256,256]), batch_size=range(64,257,64) or "
    "algo.learning_rate=tag(log,interval(1e-5,1e-3))"
)


@dataclass(frozen=True)
class Space:
    """The arguments that all trials have, and the distributions of the fields that differ."""

    fixed: tuple[str, ...]
    distributions: Mapping[str, BaseDistribution]
    """By dotted field, in the order of the command line."""

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """Return the arguments of the trial with these values of the fields."""
        return [*self.fixed, *(f"{name}={literal(value)}" for name, value in values.items())]

    def sample(self, trial: BaseTrial) -> dict[str, Any]:
        """Return a trial's values of the fields; those that it has already stay as they are."""
        return {name: _sample(trial, name, spread) for name, spread in self.distributions.items()}

    @property
    def first(self) -> dict[str, Any]:
        """The lower end of each range, and the first of each choice."""
        return {name: ends(spread)[0] for name, spread in self.distributions.items()}


def read_space(arguments: Sequence[str]) -> Space:
    """Return the search space of a command line.

    Raises ConfigError without any range, and for an end of a range or a choice that is not possible.
    """
    overrides = parse(arguments)
    for override in overrides:
        _check_form(override)
    swept = [override for override in overrides if override.is_sweep_override()]
    if not swept:
        raise ConfigError(f"There is no range to search in. {_EXAMPLE}.")
    fixed = [override.input_line or "" for override in overrides if not override.is_sweep_override()]
    values = {override.key_or_group: _values(override) for override in swept}
    if len(values) < len(swept):
        raise ConfigError("A field has two ranges. Give each field one.")
    for override in overrides:
        if override.key_or_group in values and override not in swept:
            raise ConfigError(
                f"{override.key_or_group} has a range, and the value of {override.input_line}. Leave one out."
            )
    space = Space(tuple(fixed), {})
    configs = {name: [_composed(space, values, name, value) for value in values[name]] for name in values}
    return Space(space.fixed, {o.key_or_group: _distribution(o, configs[o.key_or_group]) for o in swept})


def _composed(space: Space, values: Mapping[str, Sequence[Any]], name: str, value: Any) -> Config:
    """Return the configuration with a value of one field, the others at their first or else last `values`."""
    low, high = ({field: each[end] for field, each in values.items()} | {name: value} for end in (0, -1))
    try:
        return compose(space.words(low))[0]
    except ConfigError as error:  # as with dynamics.elites=7 where dynamics.members begins at 2
        with contextlib.suppress(ConfigError):
            return compose(space.words(high))[0]
        raise error


def ends(spread: BaseDistribution) -> tuple[Any, Any]:
    """Return the ends of a range, or the first and the last of a choice."""
    if isinstance(spread, CategoricalDistribution):
        return spread.choices[0], spread.choices[-1]
    assert isinstance(spread, IntDistribution | FloatDistribution)
    return spread.low, spread.high


def _check_form(override: Override) -> None:
    """Raise ConfigError for an argument that a search cannot have."""
    key, text = override.key_or_group, override.input_line
    if override.is_hydra_override():
        raise ConfigError(f"{text} has no effect on a search: leave out Hydra's own settings.")
    if not override.is_sweep_override():
        return
    if key in _NOT_TUNED:
        raise ConfigError(
            f"{text} is not possible: {key} is the same in all trials of a search, or their scores could not "
            "be compared. Give it one value."
        )
    sweep = override.value()
    if not isinstance(sweep, ChoiceSweep | RangeSweep | IntervalSweep):
        raise ConfigError(f"{text} is no range that can be searched. {_EXAMPLE}.")
    if unknown := sweep.tags - {"log", "int", "float"}:
        raise ConfigError(f"{text} has the tag {sorted(unknown)[0]}. The tags are log, int and float.")
    if sweep.tags and isinstance(sweep, ChoiceSweep):
        raise ConfigError(f"{text}: tags are for intervals, not for choices.")


def _values(override: Override) -> list[Any]:
    """Return the ends of a range, lower one first, or all values of a choice, as the command line takes them.

    Raises ConfigError for a range without a second value.
    """
    sweep, text = override.value(), override.input_line
    if isinstance(sweep, ChoiceSweep):
        values = list(dict.fromkeys(override.sweep_string_iterator()))
        if len(values) < 2:
            raise ConfigError(f"{text} is a choice of one value. Write the field with its value instead.")
        return values
    low, high = _bounds(sweep)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{text} is no range: it must go from a number up to a larger one.")
    return [low, high]


def _bounds(sweep: Any) -> tuple[Any, Any]:
    """Return the least and the largest value of an interval or a range, whose stop is not in it."""
    if isinstance(sweep, IntervalSweep):
        return sweep.start, sweep.end
    if not sweep.step > 0:
        return math.nan, math.nan
    steps = math.ceil(round((sweep.stop - sweep.start) / sweep.step, 9)) - 1
    last = sweep.start + steps * sweep.step
    return sweep.start, last if isinstance(last, int) else round(last, 12)


def _distribution(override: Override, configs: Sequence[Config]) -> BaseDistribution:
    """Return the distribution of a field; `configs` are the configurations of the values `_values`."""
    key, text, sweep = override.key_or_group, override.input_line, override.value()
    values = _values(override)
    if isinstance(sweep, ChoiceSweep):
        return CategoricalDistribution(values)
    composed = [dict(leaves(to_dict(config))).get(key) for config in configs]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in composed):
        raise ConfigError(f"{text} is not possible: a range is for numbers. {_EXAMPLE}.")
    assert isinstance(sweep, Sweep)
    log, step = "log" in sweep.tags, getattr(sweep, "step", None)
    if log and not values[0] > 0:
        raise ConfigError(f"{text} is not possible: a logarithmic range begins above 0.")
    if log and step not in (None, 1):
        raise ConfigError(f"{text} is not possible: a logarithmic range has no steps. Use interval(...).")
    whole = all(isinstance(value, int) for value in composed) or "int" in sweep.tags
    low, high = values
    if not whole:
        return FloatDistribution(float(low), float(high), log=log, step=None if log else step)
    if not all(float(number).is_integer() for number in (low, high, step or 1)):
        raise ConfigError(f"{text} is not possible: the ends and steps of whole numbers are whole.")
    return IntDistribution(int(low), int(high), log=log, step=int(step or 1))


def _sample(trial: BaseTrial, name: str, spread: BaseDistribution) -> Any:
    if isinstance(spread, CategoricalDistribution):
        return trial.suggest_categorical(name, spread.choices)
    if isinstance(spread, IntDistribution):
        return trial.suggest_int(name, spread.low, spread.high, step=spread.step, log=spread.log)
    assert isinstance(spread, FloatDistribution)
    return trial.suggest_float(name, spread.low, spread.high, step=spread.step, log=spread.log)
