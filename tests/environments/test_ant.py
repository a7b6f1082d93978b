"""D4RL's ant: its numbers, its reward and its ends."""

import numpy as np
import pytest
from support.recorded import assert_as_in_mujoco_2_1, assert_replayed, d4rl_file

import cocoa
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.spaces import make_environment, spaces

ANT = "D4RL/ant-v2"


def test_sizes_and_limits_are_those_of_d4rl():
    known = spaces(ANT)
    assert (known.observation_dim, known.time_limit) == (111, 1000)
    assert known.action_bounded.all()
    assert known.action_high.tolist() == [1.0] * 8
    model = make_environment(ANT).unwrapped.model
    assert model.actuator_gear[:, 0].tolist() == [150] * 8
    assert model.opt.timestep * make_environment(ANT).unwrapped.frame_skip == 0.05
    assert {task.env for name, task in D4RL.items() if name.startswith("ant-")} == {ANT}
    assert cocoa.normalized_score(ANT, 3879.7) == pytest.approx(100)


def test_it_moves_as_in_mujoco_2_1():
    assert_as_in_mujoco_2_1(ANT, "ant")


def test_a_recorded_file_is_replayed():
    columns = d4rl_file(ANT, 150)
    assert not columns["observations"][:, 27:].any()
    assert_replayed(ANT, columns)


def test_episodes_start_near_the_rest_position_as_their_seed_says():
    env = make_environment(ANT)
    starts = np.array([env.reset(seed=seed)[0] for seed in range(50)])
    assert np.array_equal(starts[3], env.reset(seed=3)[0])
    assert np.abs(starts[:, 0] - 0.75).max() < 0.1
    np.testing.assert_allclose(np.linalg.norm(starts[:, 1:5], axis=1), 1)
    assert starts[:, 13:27].std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(("height", "ends"), [(-2.0, True), (0.6, False), (1.2, True)])
def test_an_episode_ends_where_the_torso_is_too_low_or_too_high(height, ends):
    env = make_environment(ANT).unwrapped
    env.reset(seed=0)
    env.set_state(np.r_[0, 0, height, env.init_qpos[3:]], np.zeros(14))
    state, _, terminated, *_ = env.step(np.zeros(8))
    assert terminated == ends == (not 0.2 <= state[0] <= 1)
