"""Loggers of a user's own."""

import signal
from typing import ClassVar

from cocoa.runs.loggers.base import Logger


class Keeping(Logger):
    """Keeps what it is given, and dies once, after the metrics of an update, as a killed process does."""

    calls: ClassVar = []
    dies_after: ClassVar = None

    def __init__(self, run):
        self.calls.append(("open", run.step, run.folder))

    def log(self, step, metrics):
        self.calls.extend(("log", step, name, value) for name, value in metrics.items())
        if step == self.dies_after:
            type(self).dies_after = None
            raise SystemExit

    def log_epoch(self, epoch, metrics):
        self.calls.extend(("epoch", epoch, name, value) for name, value in metrics.items())

    def measurements(self, values):
        self.calls.extend(("measured", 0, name, value) for name, value in values.items())

    def episodes(self, step, episodes):
        self.calls.append(("episodes", step, "returns", episodes.returns))

    def image(self, name, path):
        assert path.read_bytes().startswith(b"\x89PNG")
        self.calls.append(("image", 0, name, path))

    def close(self, summary):
        self.calls.append(("close", summary["status"]))


class Failing(Logger):
    """Fails at the first metrics."""

    abandoned: ClassVar = 0

    def log(self, step, metrics):
        raise OSError("the server is gone")

    def abandon(self):
        type(self).abandoned += 1


class Stopping(Logger):
    """Asks for a stop, as Ctrl-C does, when the last update has been logged."""

    def __init__(self, run):
        self.updates = run.config.updates

    def log(self, step, metrics):
        if step == self.updates:
            signal.raise_signal(signal.SIGINT)
            self.updates = None
