"""Returns between which scores are normalised, as D4RL does."""

from __future__ import annotations

import re

from cocoa.environments.d4rl import ENVIRONMENTS
from cocoa.environments.recorded import RECORDED

REFERENCE_RETURNS: dict[str, tuple[float, float]] = {
    "Hopper": (-20.272305, 3234.3),
    "HalfCheetah": (-280.178953, 12135.0),
    "Walker2d": (1.629008, 4592.3),
    "Ant": (-325.6, 3879.7),
    "AdroitHandPen": (96.262799, 3076.8331017826877),
    "AdroitHandHammer": (-274.856578, 12794.134825156867),
    "AdroitHandDoor": (-56.512833, 2880.5693087298737),
    "AdroitHandRelocate": (-6.425911, 4233.877797728884),
    "antmaze-umaze": (0.0, 1.0),
    "antmaze-medium": (0.0, 1.0),
    "antmaze-large": (0.0, 1.0),
    "maze2d-umaze": (23.85, 161.86),
    "maze2d-medium": (13.13, 277.39),
    "maze2d-large": (6.7, 273.99),
    "maze2d-umaze-dense": (68.537689, 193.66285642381482),
    "maze2d-medium-dense": (44.264742, 297.4552547777125),
    "maze2d-large-dense": (30.569041, 303.4857382709002),
    "kitchen": (0.0, 4.0),
}
"""Return of a random policy (0 %) and of an expert (100 %) by family: a Gymnasium id without its version, or
the name of a D4RL task that Gymnasium does not have (D4RL 1.1, `infos.py`)."""


def references_of(env: str) -> tuple[float, float] | None:
    """Return what scores 0 and 100 % in an environment: by the dataset that describes it, else by D4RL."""
    own = RECORDED[env].references if env in RECORDED else None
    return own or REFERENCE_RETURNS.get(family_of(env))


def family_of(env: str) -> str:
    """Return the key into `REFERENCE_RETURNS` of a Gymnasium id, which may begin with a module to import."""
    name = env.rpartition(":")[2]
    if name in ENVIRONMENTS:
        return ENVIRONMENTS[name].family
    if name in RECORDED and RECORDED[name].spec.changed:
        return name
    return re.sub(r"-v\d+$", "", RECORDED[name].spec.id if name in RECORDED else name)
