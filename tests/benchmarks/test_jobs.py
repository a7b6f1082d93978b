"""What is made of the times of a whole training."""

import numpy as np
import pytest

from benchmarks.jobs import Job, compile_seconds
from benchmarks.million import write_million
from cocoa.data import load

LOG = """\
2026-11-28 22:24:17 DEBUG Compiled jit(of_all), or read it from the cache: 1.500 s
2026-11-28 22:24:18 Training on 1 device (cpu), 1 seed each
2026-11-28 22:24:19 DEBUG Compiled jit(_walk), or read it from the cache: 7.000 s
2026-11-28 22:24:20 DEBUG Compiled jit(of_all), or read it from the cache: 0.250 s
"""


def test_a_long_training_is_forecast_from_a_short_one():
    seconds = {"forward": 30.0, "training": 12.0, "evaluation": 7.0, "checkpoints": 1.0, "logging": 1.0}
    job = Job(wall=60.0, memory=1.0, seconds=seconds, compiling=1.0, rate=100.0, updates=1000)
    assert job.loop == 20
    assert job.before == 40  # compilation included
    assert job.whole(10_000) == 40 + 200
    assert job.idle == pytest.approx(0.5)  # 1,000 updates take 10 s of the loop's 20


def test_only_the_programs_of_the_loop_count_as_its_compilation():
    assert compile_seconds(LOG) == 1.75


def test_a_large_file_holds_the_demo_over_and_over_with_other_states(tmp_path):
    demo = load("hopper-demo")
    rows = len(demo.rewards) + 500
    write_million(tmp_path / "large.hdf5", rows)
    large = load(tmp_path / "large.hdf5")
    assert len(large.rewards) == rows
    assert large.env == "Hopper-v4"
    np.testing.assert_array_equal(large.rewards[-500:], demo.rewards[:500])
    shift = large.observations[-500:] - demo.observations[:500]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)
    assert np.abs(shift).max() > 1e-3
    follows = demo.episodes[1:500] == demo.episodes[:499]
    np.testing.assert_array_equal(
        large.next_observations[-500:-1][follows], large.observations[-499:][follows]
    )
