"""OGBench's environments repeat an episode from the seed of its reset, and say when it succeeded."""

import warnings

import numpy as np
import pytest

from cocoa.data import Scaling
from cocoa.data.scores import scores
from cocoa.environments.spaces import make_environment, spaces
from cocoa.errors import DataError
from cocoa.training.evaluation import Evaluator

pytest.importorskip("ogbench")


def played(env, seed, steps=20):
    """Observations of an episode with actions that are always the same."""
    rng = np.random.default_rng(0)
    first, _ = env.reset(seed=seed)
    actions = rng.uniform(-1, 1, (steps, *env.action_space.shape)).astype(np.float32)
    return np.array([first, *(env.step(action)[0] for action in actions)])


@pytest.mark.parametrize("name", ["pointmaze-teleport", "antmaze-medium", "antsoccer-arena", "cube-single"])
def test_an_episode_is_repeated_from_its_seed_whatever_was_played_before_and_beside(name):
    first, second = (make_environment(f"ogbench:{name}-singletask-v0") for _ in range(2))
    expected = played(first, 3)
    before = np.random.get_state()[1]  # noqa: NPY002
    played(second, 4)
    np.testing.assert_array_equal(played(first, 3), expected)
    np.testing.assert_array_equal(played(second, 3), expected)
    assert not np.array_equal(played(second, 4), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    first.close()
    second.close()


def test_teleports_are_repeated_from_the_seed():
    env = make_environment("ogbench:pointmaze-teleport-singletask-v0")
    inner = env.unwrapped
    place = np.array(inner._teleport_info["teleport_in_xys"][0])

    def destinations(seed):
        env.reset(seed=seed)
        found = []
        for _ in range(20):
            inner.set_xy(place)
            env.step(np.zeros(2, np.float32))
            found.append(inner.get_xy().copy())
        return np.array(found)

    expected = destinations(3)
    destinations(4)
    np.testing.assert_array_equal(destinations(3), expected)
    assert len(np.unique(expected.round(1), axis=0)) > 1
    env.close()


def test_the_spaces_are_known_and_images_are_refused():
    cube = spaces("ogbench:cube-single-singletask-task3-v0")
    assert (cube.observation_dim, cube.time_limit) == (28, 200)
    assert cube.action_low.tolist() == [-1] * 5
    assert cube.action_high.tolist() == [1] * 5
    with pytest.raises(DataError, match="nearest ids are"):
        make_environment("ogbench:cube-sngle-singletask-v0")


def test_the_arm_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_environment("ogbench:cube-single-singletask-v0")
        env.reset(seed=0)
        env.reset(seed=1)
        env.step(env.action_space.sample())
        env.close()


def test_the_score_is_the_rate_of_success():
    env = "ogbench:pointmaze-medium-singletask-v0"
    ones = np.ones(2, np.float32)
    evaluator = Evaluator(env, (0,), 2, Scaling(0 * ones, ones, 0 * ones, ones))
    goal = evaluator.instances[0].unwrapped
    goal.reset(seed=0)
    target = np.array(goal.cur_goal_xy)
    instance = evaluator.instances[1].unwrapped
    step = instance.step

    def solved(action):  # the second episode is put at the goal
        instance.set_xy(target)
        return step(action)

    instance.step = solved
    episodes = evaluator.evaluate([lambda states: np.zeros((len(states), 2), np.float32)], 0)
    evaluator.close()
    assert episodes.successes.tolist() == [[0, 1]]
    assert episodes.lengths.tolist() == [[1000, 1]]
    assert episodes.returns.tolist() == [[-1000, 0]]
    rate = 100 * episodes.successes.mean(axis=1)
    assert scores(env, episodes.returns.mean(axis=1), rate).tolist() == [50]
    assert scores(env, np.zeros(1), np.array([np.nan])) is None
