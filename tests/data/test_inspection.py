"""Statistics of datasets whose properties are known, and what is said of them."""

import dataclasses

import h5py
import numpy as np
import pytest
from support.columns import columns, write

from cocoa.data import Dataset, load
from cocoa.data import inspection as module
from cocoa.data.findings import findings
from cocoa.data.inspection import Ends, inspect

pytestmark = pytest.mark.filterwarnings("ignore:.*arrays:", "ignore:arrays has neither")

ROWS = 60


def dataset(**changes):
    """Six episodes of ten steps: three end at a terminal, two at a time limit, the last is cut."""
    rng = np.random.default_rng(0)
    step = np.arange(ROWS)
    data = {
        "observations": rng.normal(size=(ROWS, 3)),
        "actions": rng.uniform(-0.9, 0.9, (ROWS, 2)),
        "rewards": step / 10,
        "terminals": (step % 10 == 9) & (step < 30),
        "timeouts": (step % 10 == 9) & (step >= 30) & (step < 50),
        "next_observations": rng.normal(size=(ROWS, 3)),
    }
    data["next_observations"][:-1] = data["observations"][1:]
    return Dataset.from_arrays(**data | changes)


def test_bounds_without_an_environment_are_those_of_training():
    actions = np.zeros((ROWS, 2))
    actions[0] = 0.5, -3
    result = inspect(dataset(actions=actions))
    assert result.action_bounds == ((-1, 1), (-3, 3))
    assert "actions are scaled by the largest in the data, up to 3." in " ".join(findings(result))


def test_ends_returns_and_lengths_are_counted():
    result = inspect(dataset())
    assert result.ends == Ends(terminal=3, time_limit=2, cut=1)
    assert (result.transitions, result.episodes, result.validation) == (ROWS, 6, None)
    assert (result.lengths.low, result.lengths.high) == (10, 10)
    assert result.returns.low == pytest.approx(4.5)
    assert result.returns.high == pytest.approx(54.5)
    assert result.scores is None
    assert findings(result) == [
        "Its environment is not known: policies are not evaluated, and actions are taken to lie between "
        "-1 and 1. Name it with env=."
    ]


def test_columns_have_the_statistics_of_numpy_whatever_the_slices(monkeypatch):
    data = dataset()
    monkeypatch.setattr(module, "_SLICE", 7)
    whole = inspect(data)
    for i, column in enumerate(whole.observations):
        values = data.observations[:, i].astype(float)
        spread = column.spread
        assert spread.mean == pytest.approx(values.mean())
        assert spread.std == pytest.approx(values.std())
        assert (spread.low, spread.high) == (values.min(), values.max())
        assert (spread.lower, spread.median, spread.upper) == pytest.approx(
            np.quantile(values, (0.01, 0.5, 0.99))
        )


def test_a_large_dataset_is_sampled_but_counted_as_a_whole(monkeypatch):
    data = dataset()
    monkeypatch.setattr(module, "SAMPLE", 10)
    result = inspect(data)
    assert result.observations[0].spread.low == data.observations[:, 0].min()
    assert result.ends == Ends(3, 2, 1)
    assert len(set(module.sample(ROWS))) == 10


def test_constant_and_equal_dimensions_are_found():
    states = np.random.default_rng(0).normal(size=(ROWS, 5))
    states[:, 1] = 4.0
    states[:, 3] = states[:, 0]
    result = inspect(dataset(observations=states, next_observations=None))
    assert [column.constant for column in result.observations] == [False, True, False, False, False]
    assert [column.same_as for column in result.observations] == [None, None, None, 0, None]
    said = " ".join(findings(result))
    assert "Observation dimension 1 is constant." in said
    assert "Observation dimensions are equal in every row: 3 = 0." in said
    assert result.components == 3


def test_a_dimension_that_differs_in_a_row_outside_of_the_sample_is_not_called_equal(monkeypatch):
    states = np.random.default_rng(0).normal(size=(ROWS, 2))
    states[:, 1] = states[:, 0]
    monkeypatch.setattr(module, "SAMPLE", 10)
    outside = next(row for row in range(ROWS) if row not in module.sample(ROWS))
    states[outside, 1] += 1
    result = inspect(dataset(observations=states, next_observations=np.roll(states, -1, axis=0)))
    assert result.observations[1].same_as is None


def test_saturated_actions_are_counted_at_each_bound():
    actions = np.zeros((ROWS, 2))
    actions[:24, 1], actions[24:36, 1] = 1, -1
    result = inspect(dataset(actions=actions))
    assert (result.actions[1].at_low, result.actions[1].at_high) == (0.2, 0.4)
    assert result.action_bounds == ((-1, 1), (-1, 1))
    said = " ".join(findings(result))
    assert "Action dimension 1 is at a bound in up to 60.0 % of the transitions." in said
    assert "Action dimension 0 is constant." in said


def test_bounds_are_those_of_the_environment():
    data = columns()
    data["actions"][:] = 2
    result = inspect(Dataset.from_arrays(**data, env="Pendulum-v1"))
    assert (result.actions[0].at_low, result.actions[0].at_high) == (0, 1)
    assert result.action_bounds == ((-2, 2),)


def test_repeated_transitions_are_counted_and_the_sign_of_zero_does_not_matter():
    data = columns()
    data["observations"][:, 0] = 0
    twice = {key: np.concatenate([value, value[:10]]) for key, value in data.items()}
    twice["observations"][40:, 0] = -0.0
    result = inspect(Dataset.from_arrays(**twice))
    assert result.repeated == 10
    assert "10 transitions (20.0 %) repeat an earlier one" in " ".join(findings(result))
    assert inspect(Dataset.from_arrays(**data)).repeated == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rewards": np.ones(ROWS)}, "Every reward is 1:"),
        (
            {"rewards": np.arange(ROWS) // 59},
            "Rewards are sparse: 1.7 % of the transitions have 1, all others 0.",
        ),
        ({"rewards": np.zeros(ROWS)}, "Every episode has the same return, 0."),
        (
            {
                "terminals": np.zeros(ROWS),
                "timeouts": np.zeros(ROWS),
                "next_observations": np.ones((ROWS, 3)),
            },
            "single",
        ),
        ({"next_observations": None}, "of 3 terminal transitions is not in the data"),
    ],
)
def test_what_may_be_wrong_is_said(changes, sentence):
    assert sentence in " ".join(findings(inspect(dataset(**changes))))


def test_a_number_far_from_all_others_is_named():
    states = np.random.default_rng(0).normal(size=(5000, 1))
    states[100] = 1e6
    ends = np.arange(5000) % 100 == 99
    data = Dataset.from_arrays(
        observations=states, actions=np.zeros((5000, 1)), rewards=states[:, 0], terminals=ends, env=None
    )
    assert "Observation dimension 0 is more than 50 standard deviations away" in " ".join(
        findings(inspect(data))
    )


def test_a_single_constant_transition_has_statistics():
    data = Dataset.from_arrays(
        observations=np.zeros((1, 1)), actions=np.zeros((1, 1)), rewards=[0], terminals=[1]
    )
    result = inspect(data)
    assert (result.transitions, result.components, result.repeated) == (1, 0, 0)


def test_reference_returns_of_a_file_are_those_of_its_scores(tmp_path):
    path = write(tmp_path / "data.hdf5", columns())
    data = load(path, "Pendulum-v1")
    assert inspect(data).scores is None
    with h5py.File(path, "a") as file:
        file.attrs["reference_returns"] = [data.behaviour_return - 1, data.behaviour_return + 1]
    result = inspect(load(path, "Pendulum-v1"))
    assert result.references == (data.behaviour_return - 1, data.behaviour_return + 1)
    assert result.scores.mean == pytest.approx(50)


def test_the_shipped_dataset_has_scores_and_a_validation_split_is_counted():
    data = load("hopper-demo")
    held_out = dataclasses.replace(data, validation=data)
    result = inspect(held_out)
    assert result.scores.mean == pytest.approx(11.4, abs=0.05)
    assert result.references == pytest.approx((-20.272305, 3234.3))
    assert result.validation == len(data)
    assert result.ends == Ends(799, 1, 0)
