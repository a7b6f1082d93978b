"""Which fields of a configuration have no effect on the result of its run."""

from __future__ import annotations

from algos import REGISTRY
from cocoa.anchors.variants import needs
from cocoa.config import Config, cocoa_variant, to_dict
from cocoa.typed import leaves, literal


def idle_fields(algo: str, variant: str | None) -> dict[str, str]:
    """Return how the names of fields begin that have no effect, each with the reason.

    `variant` is that of the anchors, None for a plain run. Raises ConfigError if it does not exist.
    """
    sought = variant is not None and needs(variant) == "models"
    bears = {
        "algo.hidden": (variant is None, "with +cocoa, cocoa.hidden takes its place"),
        "dynamics.": (sought or REGISTRY[algo].members > 0, "nothing in this run needs models"),
        "cocoa.seeker.": (sought, "these anchors have no seeker"),
        "cocoa.rollout_": (sought, "these anchors need no reverse rollouts"),
        "cocoa.horizon": (sought or variant == "nearest", "these anchors are not found step by step"),
        "cocoa.candidates": (variant == "nearest", "it is for +cocoa=nearest"),
        "cocoa.noise": (variant == "self-noise", "it is for +cocoa=self-noise"),
    }
    return {name: reason for name, (has_effect, reason) in bears.items() if not has_effect}


def idle_settings(config: Config) -> list[str]:
    """Return a sentence for each reason why fields that are not at their defaults have no effect."""
    variant = config.cocoa.variant if config.cocoa else None
    defaults = Config(type(config.algo)(), cocoa_variant(variant) if variant else None)
    plain = dict(leaves(to_dict(defaults)))
    changed = {name: value for name, value in leaves(to_dict(config)) if value != plain[name]}
    sentences = []
    for start, reason in idle_fields(config.algo.name, variant).items():
        found = [f"{name}={literal(value)}" for name, value in changed.items() if name.startswith(start)]
        if found:
            sentences.append(f"Without effect: {' '.join(found)}; {reason}.")
    return sentences
