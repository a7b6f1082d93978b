"""The runs of `-m`: every combination of the values in Hydra's sweep syntax."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from cocoa.config.compose import GROUPS, line, parse
from cocoa.config.extensions import ALGORITHMS, ANCHOR_VARIANTS
from cocoa.dynamics.config import ENSEMBLES
from cocoa.errors import ConfigError

_MOST_JOBS = 10_000


def expand(arguments: Sequence[str]) -> list[list[str]]:
    """Return the arguments of each run of `-m`.

    Settings of Hydra itself are left out. Raises ConfigError for a sweep without values, or with too many.
    """
    overrides = [override for override in parse(arguments) if not override.is_hydra_override()]
    alternatives = [_alternatives(override) for override in overrides]
    if math.prod(map(len, alternatives)) > _MOST_JOBS:
        raise ConfigError(f"These are more than {_MOST_JOBS:,} runs. Give fewer values.")
    jobs = [_without_idle(job) for job in itertools.product(*alternatives)]
    return [list(job) for job in dict.fromkeys(jobs)]


class _Names:
    """What `glob()` chooses among, in place of Hydra's loader of configurations."""

    def get_group_options(self, group: str, **_: Any) -> list[str]:
        """Return the names among which a field is chosen."""
        names = {
            "algo": ALGORITHMS.names(),
            "cocoa": ["none", "default", *ANCHOR_VARIANTS.names()],
            "dynamics": list(ENSEMBLES),
        }
        return names.get(group, [])


def _alternatives(override: Override) -> list[str]:
    """Return an argument for each value of a sweep, or the argument itself. Raises ConfigError."""
    text = override.input_line or ""
    if not override.is_sweep_override():
        return [text]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{text} is a range without steps; give values, such as 0.7,0.9.")
    sweep: Any = replace(override, config_loader=_Names())  # type: ignore[arg-type]
    try:
        values = list(itertools.islice(sweep.sweep_string_iterator(), _MOST_JOBS + 1))
    except (HydraException, ValueError, TypeError) as error:
        raise ConfigError(f"The values of {text} cannot be listed: {line(error)}") from error
    if not values:
        choices = f"; glob() chooses among names of {', '.join(GROUPS)}" if "glob" in text else ""
        raise ConfigError(f"{text} stands for no value at all{choices}.")
    return [f"{override.get_key_element()}={value}" for value in values]


def _without_idle(job: tuple[str, ...]) -> tuple[str, ...]:
    """Return a job's arguments, and none of the fields of `cocoa` if it is one of `+cocoa=none`."""
    if "cocoa=none" not in job:
        return job
    return tuple(argument for argument in job if not argument.startswith("cocoa."))
