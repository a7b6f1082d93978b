"""A training that draws from a buffer which its own policies fill."""

from typing import ClassVar

import gymnasium
import jax
import numpy as np
import pytest

from cocoa.algos.base import Batch
from cocoa.algos.sac import SAC
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.encoder import build_networks
from cocoa.data import Scaling
from cocoa.errors import RunError
from cocoa.training.behaviour import Sampler, stochastic, uniform
from cocoa.training.devices import seeds_mesh
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.online import Online, transitions
from cocoa.training.replay import Replay
from cocoa.training.seeds import PerSeed, of_seed
from cocoa.training.stepping import Running, Stepper
from cocoa.training.streams import COLLECTED
from cocoa.training.turns import Turns

ENV, SEEDS, CAPACITY = "Corridor-v0", (3, 7), 40
TURNS = Turns(4, 4, 4, overlap=True)


class Corridor(gymnasium.Env):
    """A walk from 0 that ends beyond 1, and that a time limit cuts; actions are doubled."""

    observation_space = gymnasium.spaces.Box(-9, 9, (2,))
    action_space = gymnasium.spaces.Box(-2, 2, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.age = self.np_random.uniform(-0.1, 0.1), 0
        return self._seen(), {}

    def step(self, action):
        self.place, self.age = self.place + 0.2 * float(action[0]), self.age + 1
        return self._seen(), -self.place, abs(self.place) > 1, False, {}

    def _seen(self):
        return np.array([self.place, self.age], np.float32)


gymnasium.register(ENV, entry_point=Corridor, max_episode_steps=7)
SCALING = Scaling(*(np.array(x, np.float32) for x in ([0, 0], [1, 1], [0], [2])))
OBSERVE = Observe(np.zeros(2, np.float32), np.ones(2, np.float32))


def stepper(instances=2):
    made = Stepper(ENV, SEEDS, instances, SCALING, stream=5)
    made.start()
    return made


def random(number=0):
    return uniform(SEEDS, number, 1)


@pytest.fixture
def walked():
    return stepper().advance(random(), 0, 40)


def test_steps_are_those_of_the_environment(walked):
    place, following = walked.state[..., 0], walked.next_state[..., 0]
    np.testing.assert_allclose(following, place + 0.4 * walked.action[..., 0], atol=1e-6)
    np.testing.assert_allclose(walked.reward, -following, atol=1e-6)
    np.testing.assert_array_equal(walked.terminal, abs(following) > 1)
    np.testing.assert_array_equal(walked.timeout, (walked.next_state[..., 1] == 7) & ~walked.terminal)
    assert walked.terminal.any()
    assert walked.timeout.any()


def test_the_next_state_of_the_last_step_is_not_that_of_the_reset(walked):
    ends = walked.ends[:, :-1]
    assert (walked.state[:, 1:, :, 1][ends] == 0).all()
    np.testing.assert_array_equal(walked.state[:, 1:][~ends], walked.next_state[:, :-1][~ends])
    assert (walked.next_state[..., 1] > 0).all()


def test_seeds_instances_and_streams_differ_and_are_repeated(walked):
    again = stepper().advance(random(), 0, 40)
    jax.tree.map(np.testing.assert_array_equal, again, walked)
    firsts = walked.state[:, 0, :, 0].ravel()
    assert len({*firsts.tolist()}) == 4
    other = Stepper(ENV, SEEDS, 2, SCALING, stream=6)
    other.start()
    assert (other.advance(random(), 0, 1).state[:, 0, :, 0].ravel() != firsts).all()


@pytest.mark.parametrize("cut", [1, 9, 20])
def test_a_running_episode_is_restored(walked, cut):
    ends = walked.ends[:, :cut]
    last = [[np.flatnonzero(ends[row, :, i]) for i in range(2)] for row in range(2)]
    actions = [
        [walked.action[row, (last[row][i][-1] + 1 if len(last[row][i]) else 0) : cut, i] for i in range(2)]
        for row in range(2)
    ]
    running = Running(ends.sum(axis=1), actions, walked.next_state[:, cut - 1])
    restored = Stepper(ENV, SEEDS, 2, SCALING, stream=5)
    assert restored.restore(running)
    rest = restored.advance(random(), cut, 40 - cut)
    jax.tree.map(lambda x, whole: np.testing.assert_array_equal(x, whole[:, cut:]), rest, walked)
    moved = Running(running.episodes, actions, running.states + 1)
    assert not restored.restore(moved)


def test_a_number_that_is_not_finite_stops_with_seed_and_step():
    def diverged(row, states, number):
        return np.full((len(states), 1), np.nan if (row, number) == (1, 3) else 0.5), 0.0

    with pytest.raises(Exception, match=r"An action is not finite at step 3 of seed 7.*diverged"):
        stepper().advance(diverged, 0, 6)


def test_a_policy_that_has_diverged_does_not_stop_the_others():
    algorithm = SAC(hidden=(8,))
    state = algorithm.init(jax.random.key(0), build_networks(algorithm, None, 1), make_job().example, 10)
    broken = jax.tree.map(lambda x: x * np.nan, state)
    sample, states = stochastic(algorithm), np.zeros((3, 2), np.float32)
    wanted = algorithm.act(state, states, jax.random.key(1))
    np.testing.assert_array_equal(sample(state, states, jax.random.key(1))[0], wanted)
    np.testing.assert_array_equal(sample(broken, states, jax.random.key(1))[0], np.zeros((3, 1)))


def test_an_environment_that_fails_while_it_is_restored_is_named(walked, monkeypatch):
    def broken(self, action):
        raise ValueError("no such place")

    restored = Stepper(ENV, SEEDS, 2, SCALING, stream=5)
    monkeypatch.setattr(Corridor, "step", broken)
    running = Running(np.array([[0, 0], [4, 0]]), [[np.zeros((0, 1))] * 2, [np.zeros((2, 1))] * 2], None)
    with pytest.raises(RunError, match=r"while episode 4 of seed 7 was repeated.*step 0.*no such .*resume"):
        restored.restore(running)


class Spy(SAC):
    """SAC that tells the lowest age of a batch's next states: zeros in rows that are not filled."""

    traced: ClassVar[list[int]] = []
    """The sizes of the batches for which an update was traced."""

    def update(self, state, batch, key):
        self.traced.append(len(batch.reward))
        state, metrics = super().update(state, batch, key)
        return state, {**metrics, "age": batch.next_observation[..., 1].min()}


def make_job():
    rows = jax.ShapeDtypeStruct
    states, numbers = rows((CAPACITY, 2), np.float32), rows((CAPACITY,), np.float32)
    data, algorithm = (
        Batch(states, rows((CAPACITY, 1), np.float32), numbers, numbers, states),
        Spy(hidden=(8,)),
    )
    return TrainingJob(algorithm, build_networks(algorithm, None, 1), data, SEEDS, 100, 16)


def make_replay(**beside):
    mesh = seeds_mesh(len(SEEDS), 1)
    return Replay(make_job().example, CAPACITY, len(SEEDS), OBSERVE, mesh, TURNS, 2, **beside)


@pytest.fixture(scope="module")
def online():
    job, replay, mesh = make_job(), make_replay(), seeds_mesh(len(SEEDS), 1)
    training = Training(job, mesh, feed=replay)

    def sample(learner, observation, key):
        return learner.actor(observation).sample_and_log_prob(key)

    sampler = Sampler(sample, job.template().learner, OBSERVE, SEEDS, mesh)
    return Online(training, replay, sampler, stepper(), TURNS, random(COLLECTED))


def add(replay, steps):
    for first in range(0, 20, 2):
        block = jax.tree.map(lambda x, first=first: x[:, first : first + 2], steps)
        replay.add(PerSeed(transitions(block, 2.0, -1.0)))


def test_a_buffer_holds_the_transitions_of_each_seed():
    replay, steps = make_replay(), stepper().advance(random(), 0, 20)
    add(replay, steps)
    with pytest.raises(ValueError, match="do not fit"):
        add(replay, steps)
    assert [int(replay.at(update).filled) for update in (0, 3, 4, 31, 32, 99)] == [8, 8, 12, 36, 40, 40]
    for row in range(2):
        taken = of_seed(replay.at(0), row).take(np.array([3, 20, 3]), 0)
        np.testing.assert_allclose(taken.reward, 2 * steps.reward[row].reshape(-1)[[3, 20, 3]] - 1, rtol=1e-6)
        whole = of_seed(replay.at(0), row).take(np.arange(40), 0)
        np.testing.assert_array_equal(whole.observation, steps.state[row].reshape(40, 2))
        np.testing.assert_array_equal(whole.next_observation, steps.next_state[row].reshape(40, 2))
        np.testing.assert_array_equal(whole.action, steps.action[row].reshape(40, 1))
        np.testing.assert_array_equal(whole.terminal, steps.terminal[row].reshape(40))


def test_updates_draw_from_what_is_there_and_compile_once(online):
    state, before = online.training.init(), len(Spy.traced)
    for step in range(0, 40, 4):
        state, _, metrics = online.block(state, step)
        assert (metrics is None) == (step < 4)
        if metrics:
            assert (np.asarray(metrics["age"]) >= 1).all()
    assert len(Spy.traced) <= before + 1


@pytest.mark.parametrize("overlap", [False, True])
def test_the_policy_that_steps_is_the_last_or_the_one_before(online, overlap):
    online.turns, online.delayed, online.replay.added = Turns(4, 4, 0, overlap), None, 0
    state, learners = online.training.init(), []
    for step in range(0, 16, 4):
        learners.append(jax.device_get(state.learner))
        state, steps, _ = online.block(state, step)
        acting = learners[max(0, len(learners) - 1 - overlap)]
        behaviour = online.sampler.behaviour(online.sampler.policies(acting), COLLECTED)
        for row in range(2):
            expected, log_prob = behaviour(row, steps.state[row, 1], step // 2 + 1)
            np.testing.assert_allclose(steps.action[row, 1], expected, rtol=1e-5)
            np.testing.assert_allclose(steps.log_prob[row, 1], log_prob, rtol=1e-4)
            density = of_seed(acting, row).actor(steps.state[row, 1]).log_prob(steps.action[row, 1])
            inside = abs(steps.action[row, 1, :, 0]) < 0.999  # beyond, the inverse of tanh is not exact
            np.testing.assert_allclose(log_prob[inside], density[inside], rtol=1e-3, atol=1e-3)
