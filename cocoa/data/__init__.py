"""Offline datasets: read, validated, and turned into transitions for training."""

from cocoa.data.behaviour import batch_for, with_next_actions, with_returns
from cocoa.data.dataset import Dataset
from cocoa.data.held_out import split
from cocoa.data.preprocessing import (
    Scaling,
    action_bounds,
    best_episodes,
    normalized_batch,
    reward_map,
    unnormalized_batch,
)
from cocoa.data.scores import normalized_score, whose_references
from cocoa.data.sources import DatasetInfo, DatasetSource, load, register_source

__all__ = [
    "Dataset",
    "DatasetInfo",
    "DatasetSource",
    "Scaling",
    "action_bounds",
    "batch_for",
    "best_episodes",
    "load",
    "normalized_batch",
    "normalized_score",
    "register_source",
    "reward_map",
    "split",
    "unnormalized_batch",
    "whose_references",
    "with_next_actions",
    "with_returns",
]
