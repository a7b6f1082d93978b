"""What the user sees of a run while it goes on, and how it is stopped without a loss."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from tqdm import tqdm


class Interrupted(Exception):
    """The user asked the run to stop, and everything is saved."""


class Stopper:
    """Catches Ctrl-C and SIGTERM, so that the run can stop where its state is whole.

    A second Ctrl-C interrupts at once; what was saved last is kept. A context manager.
    """

    def __init__(self, say: Callable[[str], None]):
        """`say` confirms the request to the user."""
        self.requested = False
        self._say = say
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.requested:  # schedulers send SIGTERM to a process and to its parent, which passes it on
            return
        self.requested = True
        self._say("Stopping as soon as everything is saved; press Ctrl-C again to stop at once.")

    def check(self) -> None:
        """Raise Interrupted if the user asked to stop; to be called where everything is saved."""
        if self.requested:
            raise Interrupted


class Progress:
    """Reports the stages before training by epoch, and stops between two epochs if the user asks to."""

    def __init__(self, say: Callable[[str], None], stopper: Stopper):
        """`say` prints a line to the screen and the log."""
        self.say = say
        self.check = stopper.check

    def epoch(self, stage: str, done: int, most: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Report an epoch."""
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        left = (most - done) * seconds
        self.say(f"{stage}: epoch {done}, {numbers}, {seconds:.1f} s; at most {_duration(left)} left")


class TrainingBar:
    """A progress bar over updates, with losses and score; tqdm adds updates/s and the time left."""

    def __init__(self, updates: int, done: int, hidden: bool = False, unit: str = " updates"):
        """`done` of `updates` updates, or other units, are finished; a hidden bar prints nothing."""
        self._bar = tqdm(
            total=updates,
            initial=done,
            unit=unit,
            unit_scale=True,
            dynamic_ncols=True,
            smoothing=0.1,
            disable=hidden,
        )
        self._shown: dict[str, str] = {}

    def advance(self, updates: int, metrics: Mapping[str, Any]) -> None:
        """Advance by `updates`, and show losses and score of `metrics`, averaged over seeds."""
        for name, value in metrics.items():
            short = name.rpartition("/")[2]
            if short == "score" or short.endswith("loss"):
                self._shown[short] = f"{float(value.mean()):.3g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(updates)

    def close(self) -> None:
        """Stop updating the bar."""
        self._bar.close()


class Speedometer:
    """Updates per second and seed of this process's devices, without the first chunk, which compiles."""

    def __init__(self) -> None:
        self._chunks: list[tuple[int, float]] = []

    def add(self, updates: int, seconds: float) -> None:
        """Count a chunk."""
        self._chunks.append((updates, seconds))

    @property
    def updates_per_second(self) -> float | None:
        """None before the first chunk."""
        counted = self._chunks[1:] or self._chunks
        seconds = sum(time for _, time in counted)
        return round(sum(updates for updates, _ in counted) / seconds, 1) if seconds else None


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
