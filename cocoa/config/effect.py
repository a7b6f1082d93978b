"""Which fields of a configuration have an effect on the result of its run."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from cocoa.algos.base import Algorithm
from cocoa.anchors import AnchorVariant
from cocoa.config.extensions import ALGORITHMS, ANCHOR_VARIANTS
from cocoa.config.schema import Config, defaults_of, to_dict
from cocoa.config.typed import leaves, literal, put

SURROUNDINGS = {
    *("name", "study", "runs_dir", "cache_dir", "devices", "distributed", "stream"),
    *("logger", "wandb", "wandb_project", "wandb_artifacts", "video"),
}
"""Fields that say where and how a run is made, and not what comes out of it."""


def idle_fields(fields: Iterable[str], algo: str, anchors: str | None, online: bool = True) -> dict[str, str]:
    """Return those of the `fields`, by their dotted names, that have no effect, each with the reason.

    `algo` and `anchors` are references to classes as in `Axis.find`; no anchors in a plain run. A class whose
    module is not imported may use everything. `online` tells whether the run goes on in its environment.
    """
    algorithm = ALGORITHMS.imported(algo)
    variant = ANCHOR_VARIANTS.imported(anchors) if anchors is not None else None
    reasons = {} if online else {"online.*": "online.steps=0 makes no steps"}
    if algorithm is not None and (variant is not None or anchors is None):
        reasons |= _reasons(algorithm, variant)
    return {
        field: reason
        for field in fields
        for pattern, reason in reasons.items()
        if fnmatchcase(field, pattern)
    }


def _reasons(algorithm: type[Algorithm], variant: type[AnchorVariant] | None) -> Iterable[tuple[str, str]]:
    """Yield patterns of fields without effect, and why they have none."""
    if not algorithm.uses_rewards:
        for pattern in ("algo.discount", "data.reward_*"):
            yield pattern, "the algorithm looks at no rewards"
    if variant is not None:
        yield "algo.hidden", "with +cocoa, cocoa.hidden takes its place"
    if not algorithm.members and not (variant and variant.uses_dynamics):
        yield "dynamics.*", "nothing in this run needs models"


def idle_settings(config: Config) -> list[str]:
    """Return a sentence for each reason why fields that are not at their defaults have no effect."""
    plain, values = (dict(leaves(to_dict(one))) for one in (defaults_of(config), config))
    changed = [name for name, value in values.items() if value != plain[name]]
    idle = idle_fields(changed, values["algo.name"], values.get("cocoa.variant"), config.online.steps > 0)
    sentences = []
    for reason in dict.fromkeys(idle.values()):
        settings = " ".join(f"{name}={literal(values[name])}" for name in idle if idle[name] == reason)
        sentences.append(f"Without effect: {settings}; {reason}.")
    return sentences


def effective(config: Config) -> dict[str, Any]:
    """Return the fields that have an effect on the result, nested as in `to_dict`."""
    values = dict(leaves({k: v for k, v in to_dict(config).items() if k not in SURROUNDINGS}))
    idle = idle_fields(values, values["algo.name"], values.get("cocoa.variant"), config.online.steps > 0)
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if name not in idle:
            put(nested, name, value)
    return nested
