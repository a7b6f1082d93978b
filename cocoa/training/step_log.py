"""Steps on the disk: files that are only ever added, each written whole and with a checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cocoa.errors import RunError
from cocoa.storage.serialization import load_tree, save_tree
from cocoa.training.stepping import Running, Stepper, Steps

_ANY_SIZE = Steps.empty(0, 0, 0, (0, 0, 0, 0))


class StepLog:
    """Consecutive steps of the environments of all seeds. Positions are steps of one instance."""

    def __init__(self, folder: Path):
        """`folder` need not exist yet."""
        self._folder = folder

    @property
    def length(self) -> int:
        """How many steps of each instance there are."""
        return self._files()[-1][1] if self._files() else 0

    def append(self, steps: Steps) -> None:
        """Add steps. Raises RunError if they cannot be written."""
        start = self.length
        end = start + steps.reward.shape[1]
        save_tree(self._folder / f"{start:010}-{end:010}.safetensors", steps)

    def cut(self, length: int) -> None:
        """Remove the files behind the first `length` steps, which end with a file. Raises RunError if not."""
        for path, end in self._files():
            if end > length:
                path.unlink()
        if self.length != length:
            raise RunError(
                f"{self._folder} holds {self.length:,} steps and should hold {length:,}: files have been "
                "removed. Put them back, or start again in another folder."
            )

    def parts(self, end: int | None = None) -> Iterator[Steps]:
        """Yield the steps up to the position `end`, leaves (seeds, T, n, ...), in parts."""
        position = 0
        for path, last in self._files():
            left = last - position if end is None else min(last, end) - position
            if left <= 0:
                break
            steps = load_tree(path, _ANY_SIZE)
            yield jax.tree.map(lambda x, left=left: x[:, :left], steps)
            position = last

    def running(self) -> Running:
        """Return the episodes that run at the end; there must be a step."""
        episodes: Any = None
        for steps in self.parts():
            if episodes is None:
                seeds, _, instances = steps.reward.shape
                episodes = np.zeros((seeds, instances), int)
                actions = [[steps.action[row, :0, 0]] * instances for row in range(seeds)]
            for row, number in np.ndindex(episodes.shape):
                new, ends = steps.action[row, :, number], np.flatnonzero(steps.ends[row, :, number])
                episodes[row, number] += len(ends)
                old = actions[row][number]
                actions[row][number] = new[ends[-1] + 1 :] if len(ends) else np.concatenate([old, new])
        return Running(episodes, actions, steps.next_state[:, -1])

    def returns(self, row: int) -> np.ndarray:
        """Return the returns of a seed's whole episodes or, if none is whole, of those that were begun."""
        found: list[float] = []
        sums: dict[int, float] = {}
        for steps in self.parts():
            for instance in range(steps.reward.shape[2]):
                rewards = steps.reward[row, :, instance].astype(np.float64)
                pieces = np.split(rewards, np.flatnonzero(steps.ends[row, :, instance]) + 1)
                pieces[0] = np.append(sums.get(instance, 0.0), pieces[0])
                found += [float(piece.sum()) for piece in pieces[:-1]]
                sums[instance] = float(pieces[-1].sum())
        return np.array(found or list(sums.values()))

    def _files(self) -> list[tuple[Path, int]]:
        """Return the files in their order, with the position at which each ends."""
        files = [(path, *map(int, path.stem.split("-"))) for path in self._folder.glob("*-*.safetensors")]
        chain: list[tuple[Path, int]] = []
        for path, start, end in sorted(files, key=lambda file: file[1:]):
            if start == (chain[-1][1] if chain else 0):
                chain.append((path, end))
        return chain


def begin(stepper: Stepper, log: StepLog, say: Callable[[str], None]) -> None:
    """Begin the first episodes or, if there are steps in the log, those that ran at its end.

    Tells the user if the environments do not repeat what is in the log.
    """
    if not log.length:
        stepper.start()
    elif not stepper.restore(log.running()):
        say(
            f"Warning: {stepper.env} does not repeat an episode by the seed of its reset and its actions. "
            "The steps from here on are not those that would have come without the break."
        )
