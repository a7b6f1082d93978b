"""From flat arrays to transitions, episodes and returns, against a row-by-row oracle."""

import warnings

import h5py
import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.columns import TIME_LIMIT, messages_of, recording
from support.paths import ROOT

from cocoa.data import Dataset, load
from cocoa.data.flags import merge_flags
from cocoa.errors import DataError

SHARED = ROOT.parent / "shared" / "data"


def oracle(columns, time_limit):
    """Walk through the rows one by one; return transitions as tuples, and (return, complete) per episode."""
    observations, following = columns["observations"], columns.get("next_observations")
    rows = len(observations)
    transitions, episodes, steps = [], [], []
    for i in range(rows):
        steps.append(i)
        last = i == rows - 1
        broken = following is not None and not last and list(following[i]) != list(observations[i + 1])
        if "timeouts" in columns:
            timeout = bool(columns["timeouts"][i])
        elif following is not None:
            timeout = broken
        else:
            timeout = len(steps) == time_limit
        terminal = bool(columns["terminals"][i])
        if not (terminal or timeout or broken or last):
            continue
        for j in steps:
            ended_here = j == i and terminal
            if following is not None:
                target = following[j]
            elif j < i:
                target = observations[j + 1]
            elif terminal:
                target = observations[j]
            else:
                continue
            reward = columns["rewards"][j]
            transitions.append(
                (*observations[j], *columns["actions"][j], reward, *target, ended_here, len(episodes))
            )
        episodes.append((sum(float(columns["rewards"][j]) for j in steps), terminal or timeout))
        steps = []
    return transitions, episodes


@st.composite
def recordings(draw):
    """Columns with random flags, in a random one of the layouts that files have."""
    rows = draw(st.integers(2, 25))
    flags = arrays_of.arrays(bool, rows, elements=st.sampled_from([False, False, False, True]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns = {
        "observations": rng.normal(size=(rows, 2)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, 1)).astype(np.float32),
        "rewards": rng.normal(size=rows).astype(np.float32),
        "terminals": draw(flags),
    }
    if draw(st.booleans()):
        columns["timeouts"] = draw(flags)
    if draw(st.booleans()):
        following = np.roll(columns["observations"], -1, axis=0)
        following[draw(flags)] += 1
        following[-1] = 7
        columns["next_observations"] = following
    return columns


@pytest.mark.filterwarnings("ignore:arrays")
@settings(max_examples=400, deadline=None)
@given(columns=recordings(), env=st.sampled_from([None, "DatasetToy-v0"]))
def test_view_agrees_with_the_rows_walked_through_one_by_one(columns, env):
    transitions, episodes = oracle(columns, TIME_LIMIT if env else None)
    if not transitions:
        return
    dataset = Dataset.from_arrays(**columns, env=env)
    view = [
        (*s, *a, r, *s2, t, e)
        for s, a, r, s2, t, e in zip(
            dataset.observations,
            dataset.actions,
            dataset.rewards,
            dataset.next_observations,
            dataset.terminals,
            dataset.episodes,
            strict=True,
        )
    ]
    assert view == transitions
    returns, complete = zip(*episodes, strict=True)
    np.testing.assert_allclose(dataset.episode_returns, returns, rtol=1e-6, atol=1e-6)
    assert dataset.complete.tolist() == list(complete)
    counted = [r for r, c in episodes if c] or list(returns)
    assert dataset.behaviour_return == pytest.approx(np.mean(counted), abs=1e-6)
    unknown = dataset.terminals if "next_observations" not in columns else np.zeros(len(view), bool)
    assert (dataset.next_observed == ~unknown).all()


def test_a_timeout_is_never_terminal_and_its_step_is_dropped_without_a_next_observation():
    dataset = Dataset.from_arrays(**recording())
    assert dataset.rewards.tolist() == [0, 1, 2, 3, 4]
    assert dataset.terminals.tolist() == [False, False, True, False, False]
    assert dataset.episodes.tolist() == [0, 0, 0, 1, 1]
    assert dataset.episode_returns.tolist() == [3, 12]


def test_a_timeout_keeps_its_step_and_its_stored_next_observation():
    following = recording()["observations"] + 2
    following[[2, 5]] = 99
    dataset = Dataset.from_arrays(**recording(), next_observations=following)
    assert len(dataset.rewards) == 6
    assert not dataset.terminals[5]
    assert dataset.next_observations[5].tolist() == [99, 99]


def test_terminal_and_timeout_together_are_terminal():
    dataset = Dataset.from_arrays(**recording(terminals=np.arange(6) == 5))
    assert dataset.terminals.tolist() == [False] * 5 + [True]


def test_an_unflagged_tail_is_no_complete_episode_and_does_not_count_in_the_behaviour_return():
    dataset = Dataset.from_arrays(**recording(timeouts=np.zeros(6, bool)))
    assert dataset.complete.tolist() == [True, False]
    assert dataset.behaviour_return == 3
    assert dataset.rewards.tolist() == [0, 1, 2, 3, 4]


def test_terminals_in_every_row_are_told():
    with pytest.warns(UserWarning, match="in every row, so that no value of a next state counts"):
        Dataset.from_arrays(**recording(terminals=np.ones(6)))


def test_the_last_row_has_no_next_one():
    columns = {key: column[:1] for key, column in recording().items()} | {"terminals": [False]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Dataset.from_arrays(**columns, next_observations=columns["observations"] + 1)


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded datasets are not here")
def test_a_recording_without_next_observations_loses_only_steps_that_have_none(tmp_path):
    with h5py.File(SHARED / "hopper-medium.hdf5") as file:
        keys = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
        stored = {key: np.asarray(file[key])[:20_000] for key in keys}
    full = Dataset.from_arrays(**stored)
    del stored["next_observations"]
    cut = Dataset.from_arrays(**stored)
    ends_without_terminal = (stored["timeouts"] & ~stored["terminals"]).sum() + 1  # and the tail
    assert len(cut.rewards) == len(full.rewards) - ends_without_terminal
    np.testing.assert_array_equal(cut.episode_returns, full.episode_returns)
    known = cut.next_observed
    kept = np.flatnonzero(np.append(np.diff(full.episodes) == 0, False) | full.terminals)
    np.testing.assert_array_equal(cut.observations, full.observations[kept])
    np.testing.assert_array_equal(cut.next_observations[known], full.next_observations[kept][known])


def test_next_observations_that_were_rounded_still_follow():
    columns = recording(observations=np.linspace(1, 1e4, 12, dtype=np.float32).reshape(6, 2))
    following = np.roll(columns["observations"], -1, axis=0)
    exact = Dataset.from_arrays(**columns, next_observations=following)
    rounded = Dataset.from_arrays(**columns, next_observations=following * np.float32(1 + 1e-7))
    assert (rounded.next_observations != exact.next_observations).any()
    assert rounded.episodes.tolist() == exact.episodes.tolist() == [0, 0, 0, 1, 1, 1]


def test_rows_that_were_shuffled_are_told():
    columns = recording(rows=40, terminals=np.zeros(40, bool), timeouts=np.zeros(40, bool))
    columns["next_observations"] = columns["observations"] + 2
    order = np.random.default_rng(0).permutation(40)
    with pytest.warns(
        UserWarning, match="If the rows were shuffled, returns and scores of episodes mean nothing"
    ):
        Dataset.from_arrays(**{name: column[order] for name, column in columns.items()})


@pytest.mark.parametrize(
    ("lengths", "warned"), [([200, 200], True), ([200, 150], False), ([200] + [30] * 15, False)]
)
def test_terminals_at_the_time_limit_are_told(lengths, warned):
    rows = sum(lengths)
    terminals = np.zeros(rows)
    terminals[np.cumsum(lengths) - 1] = 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Dataset.from_arrays(
            observations=np.random.default_rng(0).normal(size=(rows, 3)),
            actions=np.zeros((rows, 1)),
            rewards=np.zeros(rows),
            terminals=terminals,
            env="Pendulum-v1",
        )
    messages = [str(warning.message) for warning in caught]
    assert ["terminals are step 200 of an episode" in message for message in messages] == [True] * warned


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_next_observation_that_is_missing_at_a_terminal_is_unknown(value):
    columns = recording()
    following = columns["observations"] + 2
    following[2] = value
    dataset = Dataset.from_arrays(**columns, next_observations=following)
    assert dataset.next_observed.tolist() == [True, True, False, True, True, True]
    assert dataset.next_observations[2].tolist() == dataset.observations[2].tolist()
    following[4, 0] = value
    with pytest.raises(DataError, match=r"`next_observations` holds .* in row 4, column 0 \(1 bad row"):
        Dataset.from_arrays(**columns, next_observations=following)


@pytest.mark.parametrize("stored", [False, True], ids=["without-next", "with-next"])
def test_masks_tell_what_is_terminal_and_terminals_end_episodes(stored, tmp_path):
    """As in OGBench: the goal is reached in row 1 and in the last row of the first of two trajectories."""
    columns = recording(8, masks=np.array([1, 0, 1, 0, 1, 1, 1, 1], np.float32))
    del columns["timeouts"]
    columns["terminals"] = np.arange(8) % 4 == 3
    if stored:
        columns["next_observations"] = columns["observations"] + 2
    from_arrays = Dataset.from_arrays(**columns)
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file.update(columns)
    for dataset in (from_arrays, load(tmp_path / "data.hdf5")):
        kept = [0, 1, 2, 3, 4, 5, 6] + [7] * stored  # row 7 has no next observation, and bootstraps
        assert dataset.rewards.tolist() == kept
        assert np.flatnonzero(dataset.terminals).tolist() == [1, 3]
        assert dataset.episodes.tolist() == [0] * 4 + [1] * (len(kept) - 4)
        assert dataset.complete.all()
        assert dataset.episode_returns.tolist() == [6, 22]
        followed = dataset.observations + 2
        observed = np.ones(len(kept), bool)
        if not stored:
            observed[3], followed[3] = False, dataset.observations[3]
        assert dataset.next_observed.tolist() == observed.tolist()
        np.testing.assert_array_equal(dataset.next_observations, followed)
        assert not dataset.uncut


def test_masks_of_one_minus_terminals_change_nothing():
    columns = recording()
    plain, masked = (
        Dataset.from_arrays(**columns, **more) for more in ({}, {"masks": ~columns["terminals"]})
    )
    assert plain.sha256 == masked.sha256


def test_masks_of_one_minus_terminals_leave_cuts_at_the_time_limit():
    columns = recording(8, terminals=np.arange(8) == 1)
    del columns["timeouts"]
    plain, masked = (
        Dataset.from_columns(merge_flags(columns | more, "data"), name="data", time_limit=TIME_LIMIT)
        for more in ({}, {"masks": ~columns["terminals"]})
    )
    assert masked.sha256 == plain.sha256
    assert len(masked.complete) == 3


def test_masks_beside_episodes_longer_than_the_time_limit_are_told():
    columns = recording(8, terminals=np.arange(8) == 7, masks=np.arange(8) != 1)
    del columns["timeouts"]
    for limit, told in ((TIME_LIMIT, True), (8, False)):
        data, said = messages_of(
            lambda limit=limit: Dataset.from_columns(columns, name="d", time_limit=limit)
        )
        assert ("the longest episode has 8 steps" in said) == told
        assert len(data.complete) == 1


def test_flags_of_the_opposite_meaning_are_told():
    timeouts = recording(200, timeouts=np.arange(200) > 0)
    assert "198 of 200 rows are left out" in messages_of(lambda: Dataset.from_arrays(**timeouts))[1]
    masks = recording(masks=np.zeros(6, bool))
    assert "`masks` is 0 in every row" in messages_of(lambda: Dataset.from_arrays(**masks))[1]
    assert "left out" not in messages_of(lambda: Dataset.from_arrays(**recording()))[1]


def test_dones_beside_masks_end_episodes_without_a_warning():
    columns = recording(dones=np.arange(6) % 3 == 2, masks=np.ones(6))
    del columns["terminals"], columns["timeouts"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = Dataset.from_columns(merge_flags(columns, "data"), name="data")
    assert not dataset.terminals.any()
    assert dataset.episode_returns.tolist() == [3, 12]
