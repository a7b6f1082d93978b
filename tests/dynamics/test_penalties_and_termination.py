"""How unsure a model is, and when imagined episodes end."""

import contextlib
import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cocoa.algos.mopo import MOPO
from cocoa.config.schema import Config
from cocoa.data import Dataset, unnormalized_batch
from cocoa.data.preprocessing import DataConfig
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.penalties import PENALTIES
from cocoa.dynamics.termination import RULES, LearnedTermination, Termination, never
from cocoa.environments.layouts import layout_of
from cocoa.environments.recorded import RecordedEnvironment, RecordedSpec, register_recorded
from cocoa.environments.spaces import make_environment
from cocoa.errors import ConfigError
from cocoa.preparation.cache import Store
from cocoa.preparation.models import ModelSet
from cocoa.preparation.termination import find_termination, known_rule

pytestmark = pytest.mark.filterwarnings("ignore:arrays. the next observation")  # the states are random
MEMBERS, SHAPE, STATE_DIM = 4, (3, 5), 2
ENV = "InvertedPendulum-v4"


def largest_deviation(mean, std):
    return max(np.sqrt((std[i] ** 2).sum()) for i in range(MEMBERS))


def largest_disagreement(mean, std):
    states = mean[:, :STATE_DIM]
    center = sum(states) / MEMBERS
    return max(np.sqrt(((state - center) ** 2).sum()) for state in states)


def spread(mean, std):
    columns = mean[:, :STATE_DIM].T
    variances = [sum((column - sum(column) / MEMBERS) ** 2) / MEMBERS for column in columns]
    return np.sqrt(sum(variances) / STATE_DIM)


@pytest.mark.parametrize(
    ("name", "derived"),
    [
        ("aleatoric", largest_deviation),
        ("pairwise", largest_disagreement),
        ("deviation", spread),
        ("none", lambda mean, std: 0.0),
    ],
)
def test_penalties_equal_their_derivations(name, derived):
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(MEMBERS, *SHAPE, STATE_DIM + 1)) * [1, 5, 50]
    std = rng.uniform(0.1, 2, mean.shape)
    found = PENALTIES[name](jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))
    assert found.shape == SHAPE
    expected = [[derived(mean[:, i, j], std[:, i, j]) for j in range(SHAPE[1])] for i in range(SHAPE[0])]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def ends_of(env, steps=300):
    """States, actions, next states and flags of random actions, with resets."""
    made = make_environment(env)
    made.action_space.seed(0)
    state, _ = made.reset(seed=0)
    rows = []
    for _ in range(steps):
        action = made.action_space.sample()
        next_state, _, terminal, timeout, _ = made.step(action)
        rows.append((state, action, next_state, terminal))
        state = made.reset()[0] if terminal or timeout else next_state
    return [np.asarray(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("version", ["v4", "v5"])
@pytest.mark.parametrize("family", ["Hopper", "Walker2d", "Ant", "Humanoid", "InvertedPendulum"])
def test_rules_end_episodes_where_the_environments_do(family, version):
    *moves, terminal = ends_of(f"{family}-{version}")
    assert set(terminal) == {True, False}
    found = RULES[family](*(jnp.asarray(x, jnp.float32) for x in moves))
    np.testing.assert_array_equal(found, terminal)


@pytest.mark.parametrize(
    "env", ["HalfCheetah-v4", "Pendulum-v1", "Swimmer-v4", "Reacher-v4", "Pusher-v5", "HumanoidStandup-v4"]
)
def test_environments_without_an_end_have_none(env):
    *moves, terminal = ends_of(env, steps=60)
    assert not terminal.any()
    found = RULES[env.rpartition("-")[0]](*map(jnp.asarray, moves))
    assert found.shape == terminal.shape
    assert not found.any()


@pytest.mark.parametrize("family", ["Hopper", "Walker2d", "Ant", "Humanoid"])
def test_rules_have_the_environments_bounds_on_all_sides(family):
    made = make_environment(f"{family}-v4").unwrapped
    made.reset(seed=0)
    rng = np.random.default_rng(0)
    height, others = (2, []) if family in ("Ant", "Humanoid") else (1, [2])
    states, healthy = [], []
    for _ in range(400):
        qpos, qvel = made.init_qpos.copy(), rng.normal(size=made.init_qvel.shape)
        qpos[height] = rng.uniform(0, 2.5)
        qpos[others] = rng.uniform(-1.3, 1.3) if family == "Walker2d" else rng.uniform(-0.3, 0.3)
        if rng.random() < 0.2:
            qpos[-1] = rng.choice([-120, -99, 99, 120])
        made.set_state(qpos, qvel)
        states.append(made._get_obs())
        healthy.append(bool(made.is_healthy))
    states = jnp.asarray(np.array(states), jnp.float32)
    assert 0.1 < np.mean(healthy) < 0.9
    np.testing.assert_array_equal(RULES[family](-states, None, states), np.logical_not(healthy))


@pytest.mark.parametrize("kind", ["umaze-v0", "umaze-diverse-v2", "medium-play-v2", "large-diverse-v0"])
def test_antmazes_end_near_the_middle_of_the_goals(kind):
    env = f"D4RL/antmaze-{kind}"
    rule = known_rule(env)
    made = make_environment(env)
    goals = np.array([made.reset(seed=seed) and made.unwrapped.goal for seed in range(400)])
    middle = (goals.min(axis=0) + goals.max(axis=0)) / 2
    made.unwrapped.goal = middle
    rng = np.random.default_rng(0)
    moves, near, reached = [], [], []
    for _ in range(60):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.9)
        qpos, qvel = made.unwrapped.init_qpos.copy(), np.zeros_like(made.unwrapped.init_qvel)
        qpos[:2] = middle + distance * np.array([np.cos(angle), np.sin(angle)])
        made.unwrapped.set_state(qpos, qvel)
        after, reward, terminal, _, _ = made.unwrapped.step(np.zeros(8))
        assert reward == terminal
        moves.append((-after, np.zeros(8), after))  # where the step started from does not count
        near.append(float(np.linalg.norm(after[:2] - middle)))
        reached.append(terminal)
    near = np.array(near)
    found = np.array(rule(*(jnp.asarray(column, jnp.float32) for column in zip(*moves, strict=True))))
    clear = np.abs(near - 0.25) > 0.03  # `middle` is an estimate
    np.testing.assert_array_equal(found[clear], (near < 0.25)[clear])
    assert set(found) == {True, False}
    assert np.array(reached)[found].all()
    assert set(np.array(reached)[~found]) == {True, False}


@pytest.mark.parametrize(("continuing", "ends"), [(False, True), (True, False), (None, False)])
def test_a_pointmaze_ends_at_the_goal_in_its_states_unless_it_continues(continuing, ends):
    arguments = {} if continuing is None else {"continuing_task": continuing}
    spec = RecordedSpec("PointMaze_UMaze-v3", arguments, 300, robotics=True)
    parts = "observation", "desired_goal", "achieved_goal"
    space = {
        "type": "Dict",
        "subspaces": {name: {"type": "Box", "shape": [4 if name == parts[0] else 2]} for name in parts},
    }
    layout = layout_of(space, spec.id, "test")
    env = f"test/pointmaze-{continuing}-v0"
    register_recorded(env, RecordedEnvironment(spec, layout))
    rule = known_rule(env)
    if not ends:
        assert rule is None
        return
    made = make_environment(env)
    made.reset(seed=0)
    rng = np.random.default_rng(0)
    states = rng.uniform(-0.6, 0.6, (200, 6))
    wanted = [made.unwrapped.compute_terminated(state[:2], state[4:], {}) for state in states]
    assert 0.1 < np.mean(wanted) < 0.9
    np.testing.assert_array_equal(rule(-states, None, jnp.asarray(states, jnp.float32)), wanted)


@pytest.mark.parametrize("rule", RULES.values())
def test_a_state_that_is_not_finite_ends_an_episode_if_anything_does(rule):
    bad = jnp.full((2, 3, 4), jnp.nan)
    assert rule(bad, bad, bad).tolist() == [[rule is not never] * 3] * 2


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def world_of(cache):
    def make(dataset, termination, max_epochs=1, normalization="none"):
        models = EnsembleConfig(
            members=2,
            elites=2,
            hidden=(16,),
            weight_decay=(0.0, 0.0),
            learning_rate=0.01,
            batch_size=64,
            max_epochs=max_epochs,
        )
        data = DataConfig(reward_normalization=normalization)
        config = Config(algo=MOPO(), dataset="", data=data, dynamics=models)
        batch, _ = unnormalized_batch(dataset, data)
        stage = lambda name: contextlib.nullcontext()  # noqa: E731
        made = ModelSet(config, dataset, batch, Store(cache, Silent()), stage, 0)
        return made.world(termination, observe=None), batch

    return make


class Silent:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None


def make_dataset(env=None, stored=True, terminals=True, rows=1500):
    """Random states of 4 numbers; terminal where the second is above 0.3 afterwards."""
    rng = np.random.default_rng(1)
    states, after = rng.uniform(-1, 1, (2, rows, 4)).astype(np.float32)
    ends = after[:, 1] > 0.3 if terminals else np.zeros(rows, bool)
    return Dataset.from_arrays(
        observations=states,
        actions=rng.uniform(-1, 1, (rows, 1)),
        rewards=rng.normal(size=rows),
        terminals=ends,
        timeouts=~ends & (np.arange(rows) % 10 == 9),
        next_observations=after if stored else None,
        env=env,
    )


@pytest.mark.parametrize("terminals", [True, False])
@pytest.mark.parametrize("kind", ["auto", "known"])
def test_a_known_rule_is_taken(world_of, kind, terminals):
    world, _ = world_of(make_dataset(ENV, terminals=terminals), kind)
    assert world.terminated == Termination(RULES["InvertedPendulum"])
    after = jnp.array([[0.0, 0.19, 0, 0], [0, 0.21, 0, 0], [9, -0.21, 9, 9]])
    assert world.terminated(after[::-1], None, after).tolist() == [False, True, True]


@pytest.mark.parametrize("kind", ["auto", "known"])
def test_a_file_of_antmaze_has_the_rule_of_its_maze(kind):
    dataset = dataclasses.replace(make_dataset(), env="D4RL/antmaze-medium-diverse-v2")
    found = find_termination(kind, dataset, learn=lambda: pytest.fail("a rule was known"))
    after = jnp.array([[20.75, 20.75], [0.75, 8.75]])
    assert found(None, None, after).tolist() == [True, False]
    assert "(20.75, 20.75)" in str(found)


def test_never_is_never_even_where_the_rule_is_known(world_of):
    world, _ = world_of(make_dataset(ENV), "never")
    assert world.terminated == Termination(never)


@pytest.mark.parametrize("env", [None, "MountainCarContinuous-v0"])
def test_auto_is_never_where_data_without_terminals_are_all_that_is_known(world_of, env):
    dataset = dataclasses.replace(make_dataset(terminals=False), env=env)
    assert world_of(dataset, "auto")[0].terminated == Termination(never)


LEARN = r"is not known.*\. Set algo\.termination=learned .*, or add a rule"
NEVER = r"is not known.*\. Set algo\.termination=never if .*, or add a rule"
STORE = r"is not known.*`next_observations`.*\. Store them, or add a rule"
KNOWN = r"^It cannot be learned.*`next_observations`.*termination=known\.$"


@pytest.mark.parametrize(
    ("kind", "env", "stored", "terminals", "advice"),
    [
        ("auto", None, True, True, LEARN),
        ("known", None, True, True, LEARN),
        ("known", None, True, False, NEVER),
        ("auto", None, False, True, STORE),
        ("learned", None, False, True, STORE),
        ("learned", None, True, False, NEVER),
        ("learned", ENV, False, True, KNOWN),
        ("learned", ENV, True, False, KNOWN),
    ],
)
def test_an_end_that_is_not_to_be_had_is_refused_with_what_is(world_of, kind, env, stored, terminals, advice):
    with pytest.raises(ConfigError, match=advice):
        world_of(make_dataset(env, stored=stored, terminals=terminals), kind)


def test_a_simple_rule_is_learned(world_of):
    world, _ = world_of(make_dataset(ENV), "learned", max_epochs=12)
    assert isinstance(world.terminated, LearnedTermination)
    rng = np.random.default_rng(2)
    states, after = rng.uniform(-1, 1, (2, 20, 50, 4)).astype(np.float32)
    found = world.terminated(states, rng.uniform(-1, 1, (20, 50, 1)), after)
    assert found.shape == (20, 50)
    assert found.dtype == bool
    wanted = after[..., 1] > 0.3
    assert (found == wanted).mean() > 0.9
    clear = np.abs(after[..., 1] - 0.3) > 0.15
    assert (found == wanted)[clear].mean() > 0.99


@pytest.mark.parametrize("normalization", ["none", "return_range"])
def test_the_worlds_rewards_are_on_the_scale_of_the_data(world_of, normalization):
    dataset = make_dataset(ENV)
    world, batch = world_of(dataset, "known", normalization=normalization)
    np.testing.assert_allclose(world.reward(dataset.rewards), batch.reward, rtol=1e-5, atol=1e-5)
