"""Which fields of a configuration have no effect on the result of its run."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from cocoa.anchors.variants import needs
from cocoa.config.extensions import algorithm_reference, find_algorithm
from cocoa.config.schema import Config, defaults_of, to_dict
from cocoa.config.typed import leaves, literal
from cocoa.errors import RunError


def idle_fields(fields: Iterable[str], algo: str, variant: str | None) -> dict[str, str]:
    """Return those of the `fields`, by their dotted names, that have no effect, each with the reason.

    `algo` is as in `find_algorithm`, `variant` is that of the anchors, None for a plain run. Raises
    ConfigError if there is no such variant.
    """
    sought = variant is not None and needs(variant) == "models"
    models = sought or _may_need_models(algo)
    bears = {
        "algo.discount": (algo != "bc", "cloning looks at no rewards"),
        "data.reward_normalization": (algo != "bc", "cloning looks at no rewards"),
        "algo.hidden": (variant is None, "with +cocoa, cocoa.hidden takes its place"),
        "dynamics.*": (models, "nothing in this run needs models"),
        "cocoa.seeker.*": (sought, "these anchors have no seeker"),
        "cocoa.rollout_*": (sought, "these anchors need no reverse rollouts"),
        "cocoa.horizon": (sought or variant == "nearest", "these anchors are not found step by step"),
        "cocoa.candidates": (variant == "nearest", "it is for +cocoa=nearest"),
        "cocoa.per_seed": (models or variant != "zero", "these anchors are the same for every seed"),
        "cocoa.noise": (variant == "self-noise", "it is for +cocoa=self-noise"),
    }
    reasons = {pattern: reason for pattern, (has_effect, reason) in bears.items() if not has_effect}
    return {
        field: reason
        for field in fields
        for pattern, reason in reasons.items()
        if fnmatchcase(field, pattern)
    }


def _may_need_models(algo: str) -> bool:
    try:
        return find_algorithm(algo).members > 0
    except RunError:  # of a module that is not imported here
        return True


def idle_settings(config: Config) -> list[str]:
    """Return a sentence for each reason why fields that are not at their defaults have no effect."""
    plain, values = (dict(leaves(to_dict(one))) for one in (defaults_of(config), config))
    changed = [name for name, value in values.items() if value != plain[name]]
    idle = idle_fields(changed, algorithm_reference(type(config.algo)), config.variant)
    sentences = []
    for reason in dict.fromkeys(idle.values()):
        told = " ".join(f"{name}={literal(values[name])}" for name in idle if idle[name] == reason)
        sentences.append(f"Without effect: {told}; {reason}.")
    return sentences
