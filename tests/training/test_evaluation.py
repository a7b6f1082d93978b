"""Evaluation equals a plain loop over one environment at a time."""

import os
import subprocess
import sys
import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.paths import ROOT

from cocoa.data import Scaling
from cocoa.errors import ConfigError, DataError, UserError
from cocoa.training.evaluation import Evaluator

SIZES = {"Pendulum-v1": (3, 1), "InvertedPendulum-v4": (4, 1), "Hopper-v4": (11, 3)}


def scaling_of(env_id, half_range=None):
    """Scales that are unlike 1 on purpose; actions at the ends of [-1, 1] leave the bounds."""
    states, actions = SIZES[env_id]
    return Scaling(
        observation_mean=np.zeros(states, np.float32),
        observation_std=np.ones(states, np.float32),
        action_center=np.full(actions, 0.1, np.float32),
        action_half_range=np.full(actions, half_range or 2.5, np.float32),
    )


def feedback(env_id):
    """A deterministic policy that depends on every coordinate of the state."""
    states, actions = SIZES[env_id]
    gain = np.random.default_rng(1).normal(size=(states, actions)).astype(np.float32)
    return lambda x: np.tanh(np.einsum("...o,oa->...a", x, gain))


def played_alone(env_id, scaling, policy, seed, step, episode):
    """The return of one episode and its length, without the evaluator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(env_id)
    number = np.random.SeedSequence([seed, step, episode]).generate_state(1)[0]
    state, _ = env.reset(seed=int(number))
    rewards, done = [], False
    while not done:
        action = scaling.action_center + scaling.action_half_range * policy(state.astype(np.float32))
        action = np.clip(action, env.action_space.low, env.action_space.high)
        state, reward, terminal, timeout, _ = env.step(action)
        rewards.append(reward)
        done = terminal or timeout
    env.close()
    return sum(rewards), len(rewards)


@pytest.mark.parametrize("env_id", SIZES)
def test_returns_are_those_of_a_plain_loop(env_id):
    seeds, step, episodes = (7, 3), 20, 3
    scaling, policy = scaling_of(env_id), feedback(env_id)
    shapes, types = set(), set()

    def watched(states):
        shapes.add(states.shape)
        types.add(states.dtype)
        return policy(states)

    evaluator = Evaluator(env_id, seeds, episodes, scaling)
    returns, lengths, successes = evaluator.evaluate([watched, watched], step)
    evaluator.close()
    expected = np.array(
        [[played_alone(env_id, scaling, policy, s, step, e) for e in range(episodes)] for s in seeds]
    )
    assert returns.dtype == np.float64
    np.testing.assert_allclose(returns, expected[..., 0], rtol=1e-6)
    np.testing.assert_array_equal(lengths, expected[..., 1])
    assert np.isnan(successes).all()
    if env_id != "InvertedPendulum-v4":  # which pays 1 a step
        assert len(set(returns.ravel())) == returns.size
    assert shapes == {(1, SIZES[env_id][0]), (2, SIZES[env_id][0])}  # of three episodes, in two groups
    assert types == {np.dtype(np.float32)}


def test_stops_with_the_last_episode_and_steps_no_environment_beyond_its_own():
    env_id, seeds, episodes = "Hopper-v4", (0, 1), 4
    scaling, policy, calls = scaling_of(env_id), feedback(env_id), []
    evaluator = Evaluator(env_id, seeds, episodes, scaling)
    taken = [0] * 8
    for index, env in enumerate(evaluator.instances):

        def counted(action, index=index, step=env.step):
            taken[index] += 1
            return step(action)

        env.step = counted
    evaluator.evaluate([lambda states: calls.append(1) or policy(states)] * 2, 5)
    lengths = [played_alone(env_id, scaling, policy, s, 5, e)[1] for s in seeds for e in range(episodes)]
    assert taken == lengths
    assert len(calls) == sum(max(lengths[start : start + 2]) for start in range(0, 8, 2))  # of each group
    assert len(set(lengths)) > 1


def test_states_do_not_change_under_a_policy_that_is_still_computed():
    """JAX returns before the actions are there, and may read the states where they are."""
    env_id = "Pendulum-v1"
    scaling, gain = scaling_of(env_id), np.array([[1.0], [-0.5], [0.3]], np.float32)

    @jax.jit
    def slow(states):
        detour = jax.lax.fori_loop(0, 300, lambda _, x: jnp.sin(x) * 1.001, jnp.full((100, 100), 0.5))
        return jnp.tanh(states @ gain) + 0 * detour.mean()

    returns = Evaluator(env_id, (4,), 4, scaling).evaluate([slow], 7).returns
    expected = [played_alone(env_id, scaling, lambda x: np.tanh(x @ gain), 4, 7, e)[0] for e in range(4)]
    np.testing.assert_allclose(returns[0], expected, rtol=1e-3)


def test_rows_of_seeds_get_their_own_actions():
    """With a policy per seed, each seed's returns are those of its policy."""
    env_id = "Pendulum-v1"
    scaling, factors = scaling_of(env_id), np.array([1.0, -0.5], np.float32)
    policy = feedback(env_id)
    evaluator = Evaluator(env_id, (0, 1), 2, scaling)
    returns = evaluator.evaluate([lambda x, f=factor: policy(x) * f for factor in factors], 0).returns
    for row, factor in enumerate(factors):
        expected, _ = played_alone(env_id, scaling, lambda x, f=factor: policy(x) * f, row, 0, 1)
        np.testing.assert_allclose(returns[row, 1], expected, rtol=1e-6)


def test_repeats_itself_whatever_was_evaluated_before_and_beside():
    env_id, scaling = "Hopper-v4", scaling_of("Hopper-v4")
    policy = feedback(env_id)
    many = Evaluator(env_id, (5, 9, 2), 3, scaling)
    first = many.evaluate([policy] * 3, 100).returns
    other_step = many.evaluate([policy] * 3, 200).returns
    np.testing.assert_array_equal(many.evaluate([policy] * 3, 100).returns, first)
    assert not np.array_equal(first, other_step)
    one = Evaluator(env_id, (9,), 2, scaling)
    np.testing.assert_array_equal(one.evaluate([policy], 100).returns, first[1:2, :2])


def test_actions_are_clipped_to_the_bounds():
    """A policy that asks for more torque than the bound of 2 gets the bound."""
    env_id = "Pendulum-v1"
    constant = np.full((1, 1), 1.0, np.float32)
    returns = [
        Evaluator(env_id, (0,), 2, scaling_of(env_id, half)).evaluate([lambda _: constant], 0).returns
        for half in (1.5, 1.9, 29.0)
    ]
    np.testing.assert_array_equal(returns[1], returns[2])
    assert not np.array_equal(returns[0], returns[1])


@pytest.mark.parametrize(
    ("env_id", "error", "message"),
    [
        ("Hoper-v4", UserError, "Hopper-v4"),
        ("Nothing/Like-v0", UserError, "cannot be made"),
        ("CartPole-v1", DataError, "continuous"),
        ("Hopper-v4", ConfigError, r"\(11,\).*\(3,\).*\(3,\).*\(1,\)"),
    ],
)
def test_mistakes_are_told(env_id, error, message):
    with pytest.raises(error, match=message):
        Evaluator(env_id, (0,), 1, scaling_of("Pendulum-v1"))


def test_is_silent_and_leaves_no_file(tmp_path):
    """Neither warnings of Gymnasium nor MuJoCo's log in the working directory."""
    script = (
        "import numpy as np\nfrom cocoa.data import Scaling\n"
        "from cocoa.training.evaluation import Evaluator\n"
        "for env, O, A in (('Hopper-v4', 11, 3), ('HalfCheetah-v4', 17, 6), ('Walker2d-v4', 17, 6)):\n"
        "    scaling = Scaling(np.zeros(O), np.ones(O), np.zeros(A), np.ones(A))\n"
        "    evaluator = Evaluator(env, (0,), 1, scaling)\n"
        "    evaluator.evaluate([lambda x: np.ones((1, A))], 0)\n"
        "    evaluator.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
