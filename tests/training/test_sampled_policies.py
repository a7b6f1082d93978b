"""The actions of policies that draw them: functions of seed, update, episode and step alone."""

import jax
import numpy as np
import pytest
from support.drawing import Drawing
from support.ingredients import ACTION_DIM, OBSERVATION_DIM, make_batch, make_networks, make_observe
from support.robots import Robot, registered

from cocoa import BC
from cocoa.data import Scaling
from cocoa.training.devices import host_mesh
from cocoa.training.evaluation import FINAL, Actor, Evaluator
from cocoa.training.seeds import PerSeed, of_seed

ZEROS, ONES = np.zeros(3, np.float32), np.ones(3, np.float32)
SCALING = Scaling(ZEROS, ONES, action_center=ZEROS[:2], action_half_range=ONES[:2])
SEEDS = 3, 5


def learners(with_cocoa, count=2):
    """The states of seeds before the first update: all equal."""
    one = Drawing().init(jax.random.key(0), make_networks(with_cocoa), make_batch(with_cocoa), 1)
    return PerSeed.stack([one] * count)


def policies(with_cocoa=False, algorithm=None, count=2):
    actor = Actor(algorithm or Drawing(), make_observe(with_cocoa), host_mesh())
    return actor.policies(learners(with_cocoa, count))


def still(self, *, seed=None, options=None):
    """Reset to one and the same state, so that returns tell actions apart."""
    Robot.reset(self, seed=seed)
    self.state = np.array([0.3, -0.2, 0.1], np.float32)
    return self.state, {}


def returns_of(seeds=SEEDS, episodes=3, step=20, first=0, **methods):
    with registered(**{"reset": still, **methods}):
        evaluator = Evaluator("Robot-v0", seeds, episodes, SCALING)
        try:
            return evaluator.evaluate(policies(count=len(seeds)), step, first).returns
        finally:
            evaluator.close()


@pytest.mark.parametrize("with_cocoa", [False, True], ids=["plain", "cocoa"])
def test_the_draw_of_a_row_is_that_of_its_key_and_step(with_cocoa):
    states = np.random.default_rng(0).normal(size=(5, OBSERVATION_DIM)).astype(np.float32)
    keys = np.random.default_rng(1).integers(2**32, size=(5, 2), dtype=np.uint32)
    policy = policies(with_cocoa)[1].begin(keys)
    drawn = np.stack([policy(states) for _ in range(3)])
    assert drawn.shape == (3, 5, ACTION_DIM)
    learner, observe = of_seed(learners(with_cocoa), 1), make_observe(with_cocoa)
    act = jax.jit(lambda state, key: Drawing().act(learner, observe(state), key))
    for step in range(3):
        for row in range(5):
            key = jax.random.fold_in(jax.random.wrap_key_data(keys[row]), step)
            np.testing.assert_allclose(drawn[step, row], act(states[row], key), atol=1e-6)
    assert len(np.unique(drawn)) > 20  # few are at the bounds


def test_noise_is_that_of_seed_update_episode_and_step():
    """The policies and first states are equal: what differs are draws."""
    returns = returns_of()
    np.testing.assert_array_equal(returns_of(), returns)
    assert len(np.unique(returns)) == returns.size
    for step in (21, FINAL):
        assert np.intersect1d(returns_of(step=step), returns).size == 0


def test_what_is_played_beside_an_episode_does_not_matter():
    returns = returns_of(seeds=(3, 5, 7), episodes=4)
    np.testing.assert_array_equal(returns_of(seeds=(5,), episodes=4), returns[1:2])
    np.testing.assert_allclose(returns_of(seeds=(5,), episodes=2), returns[1:2, :2], rtol=1e-5)
    later = returns_of(seeds=(5,), episodes=2, first=2)
    np.testing.assert_allclose(later, returns[1:2, 2:], rtol=1e-5)


def test_episodes_that_follow_each_other_are_those_side_by_side():
    def limited(self):
        if type(self).opened >= 1:
            raise RuntimeError("port 5005 is in use")
        Robot.__init__(self)

    np.testing.assert_array_equal(returns_of(__init__=limited), returns_of())


def test_a_policy_that_draws_nothing_runs_the_program_of_states_alone():
    states = np.zeros((2, OBSERVATION_DIM), np.float32)
    policy = policies(algorithm=BC())[0]
    learner, observe = of_seed(learners(False), 0), make_observe(False)
    np.testing.assert_array_equal(policy(states), jax.jit(lambda s: BC().act(learner, observe(s)))(states))
