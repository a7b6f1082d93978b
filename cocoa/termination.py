"""Which rule ends model rollouts: what is known of the environment, or can be learned from the data."""

from __future__ import annotations

from collections.abc import Callable

from cocoa.data import Dataset
from cocoa.data.reference import family_of
from cocoa.errors import ConfigError
from dynamics.ensemble import Ensemble
from dynamics.termination import RULES, LearnedTermination, Termination, never


def find_termination(
    kind: str, dataset: Dataset, learn: Callable[[], Ensemble]
) -> Termination | LearnedTermination:
    """Return the rule that `algo.termination` asks for; `learn` fits one to the data.

    Raises ConfigError if it is not to be had.
    """
    family = family_of(dataset.env or "")
    if kind in ("auto", "known") and family in RULES:
        return Termination(RULES[family])
    if kind == "never" or (kind == "auto" and not dataset.terminals.any()):
        return Termination(never)
    learnable = bool((dataset.terminals & dataset.next_observed).any())
    if kind == "learned" and learnable:
        return LearnedTermination(learn())
    if kind != "learned":
        raise ConfigError(
            f"When episodes of {dataset.env or dataset.name} end is not known, so that model rollouts would "
            f"go on beyond it. {_advice(['learned to learn it from the data'] * learnable)}"
        )
    raise ConfigError(
        f"algo.termination=learned is not possible: no transition of {dataset.name} ends an episode and has "
        f"a next observation (`next_observations` in the file). {_advice(['known'] * (family in RULES))}"
    )


def _advice(settings: list[str]) -> str:
    settings = [*settings, "never if they do not end"]
    return f"Set algo.termination={', or ='.join(settings)}, or add a rule with dynamics.termination.rule."
