"""What algorithms may ask of transitions beside themselves: what the behaviour did and collected next."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from flax import struct

from cocoa.algos.base import Algorithm, Batch, NextActionBatch, ReturnBatch
from cocoa.data.dataset import Dataset
from cocoa.data.transitions import follow


@struct.dataclass
class NextActionReturnBatch(NextActionBatch, ReturnBatch):
    """Transitions with both."""


def extended(batch: Batch, **columns: Any) -> Batch:
    """Return transitions with further columns: those of a `NextActionBatch`, a `ReturnBatch`, or both."""
    columns = vars(batch) | columns
    kinds = Batch, NextActionBatch, ReturnBatch, NextActionReturnBatch
    return next(kind for kind in kinds if {field.name for field in fields(kind)} == set(columns))(**columns)


def batch_for(algorithm: Algorithm, batch: Batch, dataset: Dataset) -> Batch:
    """Return a batch of all transitions of `dataset`, in its order, as the algorithm wants them."""
    if algorithm.next_actions:
        batch = with_next_actions(batch, dataset)
    return with_returns(batch, dataset, algorithm.discount) if algorithm.returns else batch


def with_next_actions(batch: Batch, dataset: Dataset) -> Batch:
    """Return a batch of all transitions of `dataset`, in its order, with the actions that followed them."""
    follows = np.append(follow(dataset.next_observations, dataset.observations), False)
    follows[:-1] &= dataset.episodes[:-1] == dataset.episodes[1:]
    following = np.roll(np.asarray(batch.action), -1, axis=0)
    return extended(
        batch,
        next_action=np.where(follows[:, None], following, np.float32(0)),
        next_action_known=follows.astype(np.float32),
    )


def with_returns(batch: Batch, dataset: Dataset, discount: float) -> Batch:
    """Return a batch of all transitions of `dataset`, in its order, with discounted returns from there on.

    Rewards are the batch's. Behind a terminal nothing is collected. An episode that a time limit cuts is
    taken to go on for ever with its mean reward, so that one that only fails collects r / (1 - discount), as
    in Cal-QL's code, where other episodes collect nothing more. The return of an episode that the end of the
    recording cuts is not known: -inf.
    """
    reward, episodes = np.asarray(batch.reward, np.float64), dataset.episodes
    numbers, starts, lengths = np.unique(episodes, return_index=True, return_counts=True)
    ends = starts + lengths - 1
    forever = np.add.reduceat(reward, starts) / lengths / (1 - discount)
    ahead = np.where(dataset.complete[numbers], forever, -np.inf)
    returns = np.empty(len(reward))
    for steps in range(lengths.max()):
        going = lengths > steps
        rows = ends[going] - steps
        following = np.where(dataset.terminals[rows], 0.0, ahead[going])
        ahead[going] = returns[rows] = reward[rows] + discount * following
    return extended(batch, return_to_go=returns.astype(np.float32))
