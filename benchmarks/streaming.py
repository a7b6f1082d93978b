"""The cost of batches from the host's memory."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.setting import Line, make_training, rates, updates
from cocoa.algos import REGISTRY
from cocoa.anchors import Seek

ROWS, UPDATES = 1_000_000, 1000


def streaming() -> Iterator[Line]:
    """Updates on data in the host's memory, over the same on data that the device has."""
    for name in ("bc", "iql"):
        for cocoa in (None, Seek()):
            given = REGISTRY[name](), cocoa
            works = {
                str(stream): updates(make_training(*given, rows=ROWS, anchored=False, stream=stream), UPDATES)
                for stream in (False, True)
            }
            rate = rates(works)
            full = f"{name}{'+cocoa' if cocoa else ''}"
            yield Line(f"{full}: streamed, rate", rate["True"], "updates/s")
            yield Line(f"{full}: time of streamed over resident", rate["False"] / rate["True"])
