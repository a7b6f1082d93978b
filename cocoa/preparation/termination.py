"""Which rule ends model rollouts: what is known of the environment, or can be learned from the data."""

from __future__ import annotations

from collections.abc import Callable

from cocoa.data import Dataset
from cocoa.data.reference import family_of
from cocoa.dynamics.ensemble import Ensemble
from cocoa.dynamics.termination import RULES, LearnedTermination, Rule, Termination, never
from cocoa.environments.recorded import RECORDED
from cocoa.errors import ConfigError


def find_termination(
    kind: str, dataset: Dataset, learn: Callable[[], Ensemble]
) -> Termination | LearnedTermination:
    """Return the rule that `algo.termination` asks for; `learn` fits one to the data.

    Raises ConfigError if there is none.
    """
    known = known_rule(dataset.env or "")
    if kind in ("auto", "known") and known:
        return Termination(known)
    if kind == "never" or (kind == "auto" and not dataset.terminals.any()):
        return Termination(never)
    shown = (dataset.terminals & dataset.next_observed).any()
    if kind == "learned" and shown:
        return LearnedTermination(learn())
    if kind == "learned" and known:
        raise ConfigError(f"{_not_shown(dataset)} Set algo.termination=known.")
    unknown = (
        f"When episodes of {dataset.env or dataset.name} end is not known, so that model rollouts would go "
        "on beyond it."
    )
    add = "add a rule with cocoa.termination_rule"
    if shown:
        advice = f"Set algo.termination=learned to learn it from the data, or {add}."
    elif dataset.terminals.any():
        advice = f"{_not_shown(dataset)} Store them, or {add}."
    else:
        advice = f"Set algo.termination=never if they do not end, as in the data, or {add}."
    raise ConfigError(f"{unknown} {advice}")


def known_rule(env: str) -> Rule | None:
    """Return the rule by which an environment ends its episodes, None if there is none for it."""
    recorded = RECORDED.get(env)
    if recorded and recorded.spec.id.startswith("PointMaze"):
        return None if recorded.spec.arguments.get("continuing_task", True) else RULES["PointMaze"]
    return RULES.get(family_of(env))


def _not_shown(dataset: Dataset) -> str:
    return (
        f"It cannot be learned from {dataset.name}: no transition there ends an episode and has a next "
        "observation (`next_observations` in the file)."
    )
