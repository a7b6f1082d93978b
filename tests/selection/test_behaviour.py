"""What policies do on recorded transitions, where they draw their actions."""

import jax
import numpy as np
import pytest
from support.drawing import Drawing
from support.ingredients import make_batch, make_networks, make_observe

from cocoa.selection.estimate import behaviour
from cocoa.training.seeds import PerSeed

ROWS = 30


@pytest.fixture(scope="module")
def transitions():
    """Transitions that do not leave their states, in the environment's units."""
    batch = make_batch(False, size=ROWS)
    return jax.tree.map(np.asarray, batch.replace(next_observation=batch.observation))


@pytest.fixture(scope="module")
def learner(transitions):
    return Drawing().init(jax.random.key(0), make_networks(False), transitions, 1)


@pytest.fixture(scope="module")
def done(transitions, learner):
    return behaviour(Drawing(), PerSeed.stack([learner] * 2), make_observe(False), transitions)


def test_each_action_is_a_draw_of_its_transition(transitions, learner, done):
    for row in range(ROWS):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), row))
        for name, key in zip(("action", "next_action"), keys, strict=True):
            expected = Drawing().act(learner, transitions.observation[row], key)
            np.testing.assert_allclose(done[name][0, row], expected, atol=1e-6)
    noise = [done[name][0] - learner(transitions.observation) for name in ("action", "next_action")]
    assert len(np.unique(np.round(noise, 4))) > 0.8 * 2 * 2 * ROWS  # but for those at the bounds


def test_noise_is_the_same_for_all_policies_and_in_each_call(transitions, learner, done):
    again = behaviour(Drawing(), PerSeed.stack([learner]), make_observe(False), transitions)
    for name, values in done.items():
        np.testing.assert_array_equal(values[0], values[1])
        np.testing.assert_allclose(again[name][0], values[0], rtol=1e-5, atol=1e-6)


def test_values_and_errors_are_those_of_the_actions_drawn(transitions, learner, done):
    def value(action):
        return -((action - np.asarray(learner(transitions.observation))) ** 2).sum(-1)

    np.testing.assert_allclose(done["value"][0], value(done["action"][0]), rtol=1e-4, atol=1e-5)
    target = transitions.reward + Drawing().discount * (1 - transitions.terminal) * value(
        done["next_action"][0]
    )
    error = (target - value(transitions.action)) ** 2
    np.testing.assert_allclose(done["td_error"][0], error, rtol=1e-3, atol=1e-4)
