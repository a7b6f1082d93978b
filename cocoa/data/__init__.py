"""Offline datasets: found, validated, and turned into transitions for training."""

from cocoa.data.dataset import Dataset, load
from cocoa.data.preprocessing import (
    Scaling,
    best_episodes,
    prepare,
    reward_map,
    unnormalized_batch,
    with_next_actions,
)
from cocoa.data.reference import normalized_score

__all__ = [
    "Dataset",
    "Scaling",
    "best_episodes",
    "load",
    "normalized_score",
    "prepare",
    "reward_map",
    "unnormalized_batch",
    "with_next_actions",
]
