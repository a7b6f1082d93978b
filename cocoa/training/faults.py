"""Numbers that are not finite in an evaluation, and where they come from: environment or policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Fault(NamedTuple):
    """The first number of an episode that is not finite."""

    kind: str
    """One of `FAULTS`."""
    seed: int
    episode: int
    step: int
    """0 at reset, then 1, 2, ..."""


FAULTS = ("reward", "observation", "action")
"""What may not be finite: the first two come from the environment, the last from the policy."""


def tally(faults: Sequence[Fault], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Return for each of `FAULTS` (seeds, 3): in how many episodes, the first of these, and its step."""
    counts = {}
    for kind in FAULTS:
        rows = [[fault for fault in faults if (fault.kind, fault.seed) == (kind, seed)] for seed in seeds]
        counts[kind] = np.array(
            [[len(row), row[0].episode, row[0].step] if row else [0, 0, 0] for row in rows]
        )
    return counts


def describe(kind: str, counts: np.ndarray, seeds: Sequence[int], after: str) -> str:
    """Return a warning of the `counts` of a kind (see `tally`) in the evaluation after `update 500`, say."""
    row = int(np.argmax(counts[:, 0] > 0))
    _, episode, step = counts[row]
    where = (
        f"in {episodes(counts[:, 0].sum())} of the evaluation after {after}, first in seed "
        f"{seeds[row]}, episode {episode}, step {step}"
    )
    if kind == "action":
        return f"Warning: actions of the policy were not finite {where}: the training has diverged."
    return (
        f"Warning: {kind}s of the environment were not finite {where}, though all actions before were. "
        "Check the environment: the evaluation says little about the policy."
    )


def episodes(count: int) -> str:
    """Return a number of episodes in words."""
    return f"{count} episode{'s' if count > 1 else ''}"
