"""D4RL's hopper, halfcheetah and walker2d."""

import numpy as np
import pytest
from support.recorded import assert_as_in_mujoco_2_1, assert_replayed, d4rl_file

import cocoa
from cocoa.environments.spaces import make_environment, spaces

SIZES = {"Hopper": (11, 3), "HalfCheetah": (17, 6), "Walker2d": (17, 6)}


@pytest.mark.parametrize("body", SIZES)
def test_it_moves_as_in_mujoco_2_1(body):
    assert_as_in_mujoco_2_1(f"D4RL/{body.lower()}-v2", body.lower())


@pytest.mark.parametrize("body", SIZES)
def test_all_else_is_as_in_gymnasium(body):
    ours, theirs = f"D4RL/{body.lower()}-v2", f"{body}-v4"
    known, reference = spaces(ours), spaces(theirs)
    assert (known.observation_dim, len(known.action_low)) == SIZES[body]
    assert (known.observation_dim, known.time_limit) == (reference.observation_dim, 1000)
    assert known.action_high.tolist() == reference.action_high.tolist()
    (start, _), (same, _) = (make_environment(name).reset(seed=4) for name in (ours, theirs))
    assert np.array_equal(start, same)
    assert cocoa.normalized_score(ours, 1000) == cocoa.normalized_score(theirs, 1000)


@pytest.mark.parametrize("body", SIZES)
def test_a_recorded_file_is_replayed(body):
    name = f"D4RL/{body.lower()}-v2"
    assert_replayed(name, d4rl_file(name, 100))
