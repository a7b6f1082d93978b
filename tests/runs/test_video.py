"""Videos of final policies: written where MuJoCo can render, and harmless where it cannot."""

import os
import subprocess
import sys

import numpy as np
import pytest

from cocoa.runs.folder import read_config
from cocoa.runs.video import film

imageio = pytest.importorskip("imageio")
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # imageio starts ffmpeg


def renders():
    code = "import mujoco; mujoco.GLContext(8, 8)"
    command = [sys.executable, "-c", code]
    return (
        subprocess.run(command, env={**os.environ, "MUJOCO_GL": "egl"}, capture_output=True).returncode == 0
    )


def test_each_seed_has_a_video_of_an_episode(finished, monkeypatch):
    if not renders():
        pytest.skip("MuJoCo cannot render by EGL here")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    said = []
    paths = film(finished, read_config(finished), said.append)
    assert not said
    assert paths == {seed: finished / "videos" / f"{seed}.mp4" for seed in (3, 7)}
    for path in paths.values():
        frames = imageio.mimread(path, memtest=False)
        assert frames[0].shape[2] == 3
        assert np.ptp(frames[0]) > 50  # it shows something


def test_a_failure_is_told_and_stops_nothing(finished, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "nothing")
    said = []
    assert film(finished, read_config(finished), said.append) == {}
    assert len(said) == 1
    assert said[0].startswith("No video: ")
    assert "MUJOCO_GL" in said[0]
