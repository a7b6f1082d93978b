"""Which transitions nothing is trained on, so that losses on them tell of overfitting."""

from __future__ import annotations

import numpy as np

from cocoa.data.dataset import Dataset
from cocoa.data.preprocessing import DataConfig, best_episodes
from cocoa.errors import DataError

DEFAULT_SHARE = 0.05
"""Share of the episodes that is held out where the environment is not known."""
_MOST_BATCHES = 40


def split(dataset: Dataset, config: DataConfig) -> tuple[Dataset, Dataset | None]:
    """Return what is trained on, and what is held out from training, if anything: see `DataConfig`.

    Of both parts only the best episodes stay, by `top_episodes`; which episodes are held out does not depend
    on their returns. They are the same for all seeds and runs, and a larger share holds out those of a
    smaller one, too. Raises DataError if there are too few episodes.
    """
    training, held_out = dataset, dataset.validation
    if config.validation is not None or held_out is None:
        training, held_out = _at_random(dataset, config.validation)
    kept = config.top_episodes
    return best_episodes(training, kept), None if held_out is None else best_episodes(held_out, kept)


def _at_random(dataset: Dataset, share: float | None) -> tuple[Dataset, Dataset | None]:
    """Return the dataset in two parts; at least one episode that has transitions is in each."""
    present = np.unique(dataset.episodes)
    if share is None:
        share = DEFAULT_SHARE if dataset.env is None and len(present) > 1 else 0
    if share == 0:
        return dataset, None
    if len(present) < 2:
        raise DataError(
            f"Dataset {dataset.name} has a single episode, so none can be held out from training by "
            f"data.validation={share}. Set data.validation=0, mark the ends of episodes in the data "
            "(timeouts), or give a dataset of its own as the validation split, with "
            "cocoa.Dataset.from_arrays(..., validation=...)."
        )
    count = min(max(1, round(share * len(present))), len(present) - 1)
    held_out = np.sort(present[_permutation(len(present))[:count]])
    training = np.setdiff1d(np.arange(len(dataset.complete)), held_out)
    return dataset.of_episodes(training), dataset.of_episodes(held_out)


def batches(count: int, size: int) -> np.ndarray:
    """Return indices (batches, rows) of held-out transitions, of which there are `count`.

    They are up to 40 batches of up to `size` rows, all equally large, without repetition: all transitions
    where that are fewer, but for less than one for each batch, else always the same random ones.
    """
    number = min(_MOST_BATCHES, -(-count // size))
    return _permutation(count)[: number * min(size, count // number)].reshape(number, -1)


def _permutation(count: int) -> np.ndarray:
    """Return 0, ..., count - 1 in a random order that is the same everywhere."""
    # NumPy keeps the bits of a generator from version to version, but not what is drawn from them.
    return np.argsort(np.random.PCG64(0).random_raw(count), kind="stable")
