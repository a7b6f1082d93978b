"""What tests of whole runs share: a small job on an inverted pendulum, and how to cut it."""

import signal
import sys

from support.paths import ROOT

from cocoa.anchors import Seek, SeekerConfig
from cocoa.dynamics.config import EnsembleConfig
from cocoa.runs.folder import checkpoint_path
from cocoa.training.loop import Training

TRAIN = [sys.executable, str(ROOT / "train.py")]
ENV = "InvertedPendulum-v4"
MODELS = EnsembleConfig(members=2, elites=2, hidden=(16,), weight_decay=(0.0, 0.0), max_epochs=2)
WIDTHS = {"encoder_hidden": (8,), "hidden": (16,)}
COCOA = Seek(seeker=SeekerConfig(hidden=(16,), max_epochs=2), **WIDTHS)


def assert_same_run(folder, other):
    for name in ("metrics.csv", "episodes.csv"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    assert arrays_in(checkpoint_path(folder).read_bytes()) == arrays_in(checkpoint_path(other).read_bytes())


def arrays_in(content):
    """What follows the header of a safetensors file, which holds timings as well, in no fixed order."""
    return content[8 + int.from_bytes(content[:8], "little") :]


def interrupt(monkeypatch, *calls):
    """Press Ctrl-C while the chunks of these numbers run; return the starts of all chunks, as they come."""
    starts, original = [], Training.chunk

    def chunk(self, state, start, length):
        starts.append(start)
        if len(starts) in calls:
            signal.raise_signal(signal.SIGINT)
        return original(self, state, start, length)

    monkeypatch.setattr(Training, "chunk", chunk)
    return starts
