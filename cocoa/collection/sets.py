"""Which recorded steps belong to which set, in the order in which files hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cocoa.collection.setup import Setup
from cocoa.training.step_log import StepLog

Columns = dict[str, np.ndarray]
"""Consecutive rows of a set by D4RL's keys, leaves (N, ...), in the environment's units."""


@dataclass(frozen=True)
class Piece:
    """Consecutive steps of a log that a set consists of."""

    log: str
    end: int | None = None
    """Steps of one instance; None: all whole episodes, or all steps if there is no whole one."""


def pieces_of(kind: str, setup: Setup, medium: int) -> list[Piece]:
    """Return what a set consists of; `medium` is the step after which the medium policy was kept."""
    envs = setup.settings.envs
    if kind == "medium-expert":
        return [Piece("medium"), Piece("expert")]
    if kind == "medium-replay":
        return [Piece("training", medium // envs)]
    if kind == "full-replay":
        return [Piece("training", setup.settings.steps // envs)]
    return [Piece(kind)]


def columns(piece: Piece, setup: Setup, row: int, to_environment: Any) -> Iterator[Columns]:
    """Yield the rows of a piece for the seed at `row`, in slices, one instance after the other.

    `to_environment` maps actions to the environment's units.
    """
    log = setup.log(piece.log)
    for instance in range(setup.settings.envs):
        end = _last_end(log, row, instance) if piece.end is None else piece.end
        for steps in log.parts(end):
            own = {name: getattr(steps, name)[row, :, instance] for name in steps.__dataclass_fields__}
            found = {
                "observations": own["state"],
                "actions": to_environment(own["action"]),
                "rewards": own["reward"],
                "terminals": own["terminal"],
                "timeouts": own["timeout"],
                "next_observations": own["next_state"],
                "infos/action_log_probs": own["log_prob"],
            }
            if own["qpos"].shape[1]:
                found |= {"infos/qpos": own["qpos"], "infos/qvel": own["qvel"]}
            yield found


def _last_end(log: StepLog, row: int, instance: int) -> int | None:
    """Return the position behind the last whole episode of an instance; None if there is none."""
    position, last = 0, None
    for steps in log.parts():
        ends = np.flatnonzero(steps.ends[row, :, instance])
        last = position + int(ends[-1]) + 1 if len(ends) else last
        position += steps.reward.shape[1]
    return last
