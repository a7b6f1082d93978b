"""What environments may and may not do in an evaluation, and that they are closed."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from support.robots import LIMIT, Robot, registered

from cocoa.anchors.diagnostics import random_policy_states
from cocoa.data import Scaling
from cocoa.environments.spaces import spaces
from cocoa.errors import DataError, RunError
from cocoa.training.evaluation import Evaluator
from cocoa.training.faults import Fault, describe, tally

ZEROS, ONES = np.zeros(3, np.float32), np.ones(3, np.float32)
SCALING = Scaling(ZEROS, ONES, action_center=ZEROS[:2], action_half_range=ONES[:2])


def policy(states):
    return np.tanh(states[:, :2] - states[:, 1:])


def returns_of(seeds=(3, 5), episodes=3, step=20, actor=policy):
    """Returns (seeds, episodes) and the evaluator, which is closed."""
    evaluator = Evaluator("Robot-v0", seeds, episodes, SCALING)
    try:
        return evaluator.evaluate([actor] * len(seeds), step).returns, evaluator
    finally:
        evaluator.close()


def raising(error):
    def method(self, *args, **kwargs):
        raise error

    return method


@pytest.fixture(scope="module")
def expected():
    with registered():
        return returns_of()[0]


def step_with(**changes):
    """A step that returns something else."""

    def step(self, action):
        names = ("state", "reward", "terminated", "truncated", "info")
        return tuple((dict(zip(names, Robot.step(self, action), strict=True)) | changes).values())

    return step


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ({"__init__": raising(FileNotFoundError("no robot.xml"))}, "cannot be made: FileNotFoundError: no"),
        ({"__init__": raising(AttributeError("port"))}, "cannot be made: AttributeError: port"),
        ({"__init__": lambda self, port: None}, "cannot be made: TypeError: .*missing .* argument: 'port'"),
        ({"reset": lambda self: (np.zeros(3), {})}, "keyword argument 'seed'.* must take the keywords seed"),
        ({"reset": lambda self, seed=None, options=None: np.zeros(3)}, "reset returned an array of shape"),
        ({"reset": raising(RuntimeError("offline"))}, r"raised RuntimeError: offline\. Fix the environment"),
        ({"step": lambda self, action: (np.zeros(3), 1.0, False, {})}, "must return .*terminated, truncated"),
        ({"step": lambda self, action: None}, "must return .*terminated, truncated"),
        ({"step": raising(OSError("gone"))}, r"step raised OSError: gone\. Fix .* eval_episodes=0"),
        ({"step": step_with(reward="1.0")}, "'1.0' for the reward, which must be a number"),
        ({"step": step_with(reward=None)}, "None for the reward"),
        ({"step": step_with(reward=np.ones(2))}, r"array\(\[1., 1.\]\) for the reward"),
        ({"step": step_with(truncated={})}, "{} for truncated, which must be true or false"),
        ({"step": step_with(terminated=None)}, "None for terminated"),
        (
            {"step": step_with(state=np.zeros(4))},
            r"step returned an observation of shape \(4,\); .* 3 numbers",
        ),
        ({"step": step_with(state=np.zeros((1, 3)))}, r"shape \(1, 3\)"),
        ({"step": step_with(state={"position": 1})}, r"step returned the observation \{'position': 1\}"),
        (
            {"reset": lambda self, seed=None, options=None: (0.0, {})},
            r"reset returned .* shape \(\); .* 3 num",
        ),
    ],
)
def test_an_environment_that_cannot_be_used_is_told_at_once(methods, told):
    with registered(**methods) as kind, pytest.raises(DataError, match=told) as caught:
        Evaluator("Robot-v0", (0,), 3, SCALING)
    assert "\n" not in str(caught.value)
    assert kind.opened <= 0  # nothing that was made is still open


@pytest.mark.parametrize(
    "convert",
    [
        np.float32,
        np.float64,
        lambda x: np.array([x]),
        np.array,
        lambda x: np.array([[x]], np.float32),
        lambda x: [x],
    ],
)
def test_rewards_may_be_arrays_of_one(convert, expected):
    def step(self, action):
        state, reward, *rest = Robot.step(self, action)
        return state, convert(reward), *rest

    with registered(step=step), warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        np.testing.assert_array_equal(returns_of()[0], expected)


@pytest.mark.parametrize("reward", [1, True, np.int64(1), np.bool_(True), np.array([1])])
def test_rewards_may_be_whole_numbers(reward):
    with registered(step=step_with(reward=reward)):
        assert (returns_of()[0] == LIMIT).all()


def test_observations_and_flags_may_be_of_other_types(expected):
    def step(self, action):
        assert action.dtype == np.float32
        assert self.action_space.contains(action)
        print("moving")
        state, reward, *_ = Robot.step(self, action)
        return state.tolist(), reward, np.array([False]), 0, None

    space = Box(-1, 1, (2,), np.float64)
    with registered(step=step, action_space=space):
        np.testing.assert_array_equal(returns_of()[0], expected)


def test_actions_keep_within_bounds_in_double_precision():
    """0.1 in single precision is more than in double precision."""

    def step(self, action):
        assert self.action_space.contains(action)
        return Robot.step(self, action)

    with registered(step=step, action_space=Box(-0.1, 0.1, (2,), np.float64)):
        returns_of(actor=lambda states: np.where(np.arange(2) > 0, 9, -9) * np.ones((len(states), 1)))


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("method", ["__init__", "reset", "step"])
def test_where_few_instances_can_exist_episodes_follow_each_other(most, method, expected):
    def limited(self, *args, **kwargs):
        if method == "__init__":
            if type(self).opened >= most:
                raise RuntimeError("port 5005 is in use")
        elif type(self).opened > most:
            raise RuntimeError("port 5005 is in use")
        return getattr(Robot, method)(self, *args, **kwargs)

    with registered(**{method: limited}) as kind:
        returns, evaluator = returns_of()
        assert len(evaluator.instances) == 1
        assert kind.opened == 0
    assert [note for note in evaluator.notes if "port 5005 is in use" in note] == evaluator.notes
    assert "one after the other" in evaluator.notes[0]
    np.testing.assert_array_equal(returns, expected)


def test_an_instance_that_cannot_be_closed_leaves_the_others_closed():
    def close(self):
        type(self).opened -= 1
        raise OSError("already gone")

    with registered(close=close) as kind:
        returns_of()
        assert kind.opened == 0


def test_an_interruption_while_environments_are_made_closes_them():
    def init(self):
        if type(self).opened == 2:
            raise KeyboardInterrupt
        Robot.__init__(self)

    with registered() as kind:
        spaces("Robot-v0")
        kind.__init__ = init
        with pytest.raises(KeyboardInterrupt):
            Evaluator("Robot-v0", (0, 1), 3, SCALING)
        assert kind.opened == 0


@pytest.mark.parametrize(
    ("error", "caught", "told"),
    [
        (
            RuntimeError("connection\nlost"),
            RunError,
            r"'Robot-v0' failed in an evaluation \(seed 3, episode 0, step 4\): ",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_what_an_environment_raises_in_an_evaluation_is_told_with_its_place(error, caught, told):
    def step(self, action):
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken == 5:  # the first one was the trial
            raise error
        return Robot.step(self, action)

    with registered(step=step), pytest.raises(caught, match=told) as raised:
        returns_of(seeds=(3,), episodes=1)
    if caught is RunError:
        assert raised.value.__cause__ is error
        assert "RuntimeError: connection lost" in str(raised.value)


@pytest.mark.parametrize(
    ("tell", "expected"),
    [
        (lambda taken: {"success": taken == LIMIT}, 1),
        (lambda taken: {"is_success": np.float32(taken < LIMIT)}, 0),  # which it was, but not at the end
        (lambda taken: {"goal_achieved": np.array([1.0])}, 1),
        (lambda taken: {"success": None, "goal_achieved": False}, 0),
        (lambda taken: {"success": "yes", "distance": 0.1}, np.nan),
        (lambda taken: None, np.nan),
    ],
)
def test_success_is_what_the_environment_says_at_the_last_step(tell, expected):
    def step(self, action):
        self.taken += 1
        return *Robot.step(self, action)[:4], tell(self.taken)

    def reset(self, **options):
        self.taken = 0
        return Robot.reset(self, **options)

    with registered(step=step, reset=reset):
        evaluator = Evaluator("Robot-v0", (3, 5), 2, SCALING)
        episodes = evaluator.evaluate([policy, policy], 0)
        evaluator.close()
    np.testing.assert_array_equal(episodes.successes, np.full((2, 2), expected))
    assert episodes.lengths.tolist() == [[LIMIT] * 2] * 2


@pytest.mark.parametrize(
    ("value", "name", "kind"),
    [(np.nan, "reward", "reward"), (np.inf, "reward", "reward"), (np.nan, "state", "observation")],
)
def test_numbers_of_the_environment_that_are_not_finite_are_found(value, name, kind):
    """In the second episode of each seed, at the third step; its actions are not finite from there on."""

    def step(self, action):
        state, reward, *rest = Robot.step(self, action)
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken == 4 and self.odd:
            state, reward = (state * value, reward) if name == "state" else (state, value)
        return state, reward, *rest

    with registered(step=step, odd=False):
        evaluator = Evaluator("Robot-v0", (3, 5), 2, SCALING)
        for instance in evaluator.instances[1::2]:
            instance.unwrapped.odd = True
        evaluator.evaluate([policy, policy], 0)
        evaluator.close()
        assert evaluator.notes == []
    assert evaluator.faults == [Fault(kind, 3, 1, 3), Fault(kind, 5, 1, 3)]
    counts = tally(evaluator.faults, evaluator.seeds)
    assert counts[kind].tolist() == [[1, 1, 3], [1, 1, 3]]
    assert not any(rows.any() for other, rows in counts.items() if other != kind)
    told = describe(kind, counts[kind], evaluator.seeds, "update 20")
    assert f"{kind}s of the environment were not finite in 2 episodes" in told
    assert "after update 20, first in seed 3, episode 1, step 3" in told


def test_actions_that_are_not_finite_are_the_policys_whatever_the_environment_makes_of_them():
    with registered():
        _, evaluator = returns_of(actor=lambda states: np.full((len(states), 2), np.nan))
    assert {fault.kind for fault in evaluator.faults} == {"action"}
    assert [fault.step for fault in evaluator.faults] == [1] * 6
    told = describe("action", tally(evaluator.faults, (3, 5))["action"], (3, 5), "update 20")
    assert "actions of the policy were not finite in 6 episodes" in told
    assert "diverged" in told


def test_an_environment_that_fails_on_actions_that_are_not_finite_is_not_blamed_alone():
    def step(self, action):
        if not np.isfinite(action).all():
            raise ValueError("bad action")
        return Robot.step(self, action)

    with (
        registered(step=step),
        pytest.raises(RunError, match=r"bad action\. The policy's action was not finite"),
    ):
        returns_of(actor=lambda states: np.full((len(states), 2), np.nan))


def test_numbers_that_are_not_finite_in_the_first_step_are_told():
    with registered(step=step_with(reward=np.nan)):
        evaluator = Evaluator("Robot-v0", (0,), 2, SCALING)
        evaluator.close()
    assert len(evaluator.notes) == 1
    assert "a reward of environment Robot-v0 is not finite" in evaluator.notes[0]


def test_random_states_come_from_an_instance_that_stays_open_and_are_finite():
    def step(self, action):
        state, *rest = Robot.step(self, action)
        return (state if state[2] > 0 else state * np.nan), *rest

    with registered() as kind:
        env = gymnasium.make("Robot-v0")
        own, other = random_policy_states(env, 50, 0), random_policy_states("Robot-v0", 50, 0)
        assert kind.opened == 1
        np.testing.assert_array_equal(own, other)
    with registered(step=step):
        states = random_policy_states("Robot-v0", 50, 0)
    assert states is not None
    assert 0 < len(states) < 50
    assert np.isfinite(states).all()


@pytest.mark.parametrize(
    "methods", [{"reset": raising(RuntimeError("gone"))}, {"step": step_with(state=np.nan)}]
)
def test_no_random_states_of_an_environment_that_fails(methods):
    with registered(**methods) as kind:
        assert random_policy_states("Robot-v0", 10, 0) is None
        assert kind.opened == 0
