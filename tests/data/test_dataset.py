"""What becomes of flat arrays: transitions, episodes and returns, against a row-by-row oracle."""

import dataclasses
import hashlib
import warnings

import gymnasium
import h5py
import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import ROOT

from cocoa.data import Dataset, load
from cocoa.errors import DataError

SHARED = ROOT.parent / "shared" / "data"
TIME_LIMIT = 3


class Toy(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))


@pytest.fixture(scope="module", autouse=True)
def toy_env():
    gymnasium.register("DatasetToy-v0", Toy, max_episode_steps=TIME_LIMIT)
    yield
    del gymnasium.registry["DatasetToy-v0"]


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


def recording(rows=6, **changes):
    """Two episodes: rows 0-2 end terminal, rows 3-5 by a timeout."""
    columns = {
        "observations": np.arange(2 * rows, dtype=np.float32).reshape(rows, 2),
        "actions": np.linspace(-1, 1, rows, dtype=np.float32)[:, None],
        "rewards": np.arange(rows, dtype=np.float32),
        "terminals": np.arange(rows) == 2,
        "timeouts": np.arange(rows) == 5,
    }
    return columns | changes


def write(path, columns):
    with h5py.File(path, "w") as file:
        for key, column in columns.items():
            file[key] = column
    return path


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64, bool])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_flags_and_rewards_of_any_type_and_shape_read_the_same(tmp_path, dtype, shape):
    columns = recording()
    expected = Dataset.from_arrays(**columns)
    columns["terminals"] = columns["terminals"].astype(dtype).reshape(shape)
    columns["timeouts"] = columns["timeouts"].astype(dtype).reshape(shape)
    columns["rewards"] = columns["rewards"].astype(np.float64).reshape(shape)
    columns["observations"] = columns["observations"].astype(np.float64)
    dataset = load(write(tmp_path / "data.hdf5", columns))
    for field in ("observations", "actions", "rewards", "terminals", "next_observations", "episodes"):
        found, wanted = getattr(dataset, field), getattr(expected, field)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_groups_and_scalars_beside_the_arrays_are_ignored(tmp_path):
    extras = {
        "infos/action_log_probs": np.full(6, np.nan),
        "metadata/algorithm": b"SAC",
        "metadata/iteration": 3,
    }
    dataset = load(write(tmp_path / "data.hdf5", recording() | extras))
    np.testing.assert_array_equal(dataset.rewards, [0, 1, 2, 3, 4])


def test_the_environment_is_the_argument_then_the_attribute_then_unknown(tmp_path):
    path = write(tmp_path / "data.hdf5", recording())
    assert load(path).env is None
    assert load(path, env="DatasetToy-v0").env == "DatasetToy-v0"
    with h5py.File(path, "a") as file:
        file.attrs["env_id"] = "DatasetToy-v0"
    assert load(path).env == "DatasetToy-v0"
    with h5py.File(path, "a") as file:
        file.attrs["env_id"] = np.bytes_("NobodyHasThis-v0")
    with pytest.warns(UserWarning, match="NobodyHasThis-v0"):
        assert load(path).env is None


def test_the_hash_is_of_the_bytes(tmp_path):
    path = write(tmp_path / "data.hdf5", recording())
    assert load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    one, other = Dataset.from_arrays(**recording()), Dataset.from_arrays(**recording(rewards=np.ones(6)))
    assert one.sha256 == Dataset.from_arrays(**recording()).sha256 != other.sha256


def test_a_dataset_cannot_change_under_its_hash(tmp_path):
    columns = recording()
    columns["rewards"] = columns["rewards"].astype(np.float32)
    dataset = Dataset.from_arrays(**columns)
    before = dataset.rewards.copy()
    columns["rewards"] += 1
    np.testing.assert_array_equal(dataset.rewards, before)
    with pytest.raises(ValueError, match="read-only"):
        dataset.rewards[:] = 0
    rewards = -dataset.rewards
    changed = dataclasses.replace(dataset, rewards=rewards)
    rewards[:] = 0
    np.testing.assert_array_equal(changed.rewards, -before)
    for one in (dataset, load(write(tmp_path / "data.hdf5", recording()))):
        changed = dataclasses.replace(one, rewards=-one.rewards)
        assert changed.sha256 != one.sha256
        assert dataclasses.replace(changed, rewards=2 * changed.rewards).sha256 != changed.sha256
        assert one.of_environment("DatasetToy-v0").sha256 == one.sha256


def test_terminals_in_every_row_are_told():
    with pytest.warns(UserWarning, match="in every row, so that no value of a next state counts"):
        Dataset.from_arrays(**recording(terminals=np.ones(6)))


def test_the_last_row_has_no_next_one():
    columns = {key: column[:1] for key, column in recording().items()} | {"terminals": [False]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Dataset.from_arrays(**columns, next_observations=columns["observations"] + 1)


def test_shipped_dataset():
    dataset = load("hopper-demo")
    assert (dataset.name, dataset.env) == ("hopper-demo", "Hopper-v4")
    assert dataset.observations.shape == dataset.next_observations.shape == (98_766, 11)
    assert dataset.complete.all()
    assert dataset.behaviour_return == pytest.approx(349.6413, abs=1e-3)
    # The next row is the next observation but at the 800 ends.
    follows = (dataset.next_observations[:-1] == dataset.observations[1:]).all(axis=1)
    assert (~follows).sum() == len(dataset.complete) - 1 == 799


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded datasets are not here")
@pytest.mark.parametrize(
    ("file", "rows", "episodes", "mean"),
    [
        ("hopper-medium", 200_000, 465, 1568.1872),
        ("hopper-mixed", 200_000, 1608, 350.3678),
        ("hopper-medium-expert", 200_000, 349, 2088.0899),
        ("hopper-random", 100_000, 4501, 18.5903),
    ],
)
def test_recorded_datasets_have_their_published_returns(file, rows, episodes, mean):
    dataset = load(SHARED / f"{file}.hdf5")
    assert (dataset.name, dataset.env, len(dataset.rewards)) == (file, "Hopper-v4", rows)
    assert dataset.complete.sum() == episodes
    assert not dataset.complete[-1]
    assert dataset.behaviour_return == pytest.approx(mean, rel=1e-5)


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


LAYOUTS = {
    "contiguous": {},
    "gzip, rows cut unevenly": {"compression": "gzip", "chunks": 7},
    "gzip and shuffle": {"compression": "gzip", "chunks": 7, "shuffle": True},
    "gzip with checksums": {"compression": "gzip", "chunks": 7, "fletcher32": True},
    "lzf": {"compression": "lzf", "chunks": 7},
    "gzip, larger than the data": {"compression": "gzip", "chunks": 64},
}


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_columns_are_read_whatever_their_layout(tmp_path, layout, dtype):
    rng = np.random.default_rng(0)
    columns = {
        "observations": rng.normal(size=(45, 3)).astype(dtype),
        "actions": rng.uniform(-1, 1, (45, 2)).astype(dtype),
        "rewards": rng.normal(size=45).astype(dtype),
        "terminals": rng.random(45) < 0.1,
    }
    options = LAYOUTS[layout]
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        for key, column in columns.items():
            shape = {"chunks": (options["chunks"], *(2,) * (column.ndim - 1))} if "chunks" in options else {}
            unlimited = {"maxshape": (None,) * column.ndim} if shape else {}
            file.create_dataset(key, data=column, **options | shape | unlimited)
    found, known = load(tmp_path / "data.hdf5"), Dataset.from_arrays(**columns)
    for name in ("observations", "actions", "rewards", "terminals", "next_observations", "episodes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(known, name))


def test_chunks_of_rewards_that_were_never_written_hold_zeros(tmp_path):
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file["observations"], file["actions"] = np.ones((40, 3), np.float32), np.ones((40, 2), np.float32)
        file.create_dataset("rewards", 40, "f4", chunks=(10,), compression="gzip")[:10] = 0.5
        file["terminals"] = np.arange(40) == 39
    assert load(tmp_path / "data.hdf5").rewards.sum() == 0.5 * 10


def test_arrays_can_be_given_an_environment_afterwards():
    dataset = load("hopper-demo")
    arrays = ("observations", "actions", "rewards", "terminals", "next_observations")
    unnamed = Dataset.from_arrays(**{name: getattr(dataset, name) for name in arrays})
    named = unnamed.of_environment("Hopper-v4")
    assert (unnamed.env, named.env) == (None, "Hopper-v4")
    np.testing.assert_array_equal(named.observations, unnamed.observations)
    with pytest.raises(DataError, match="environment InvertedPendulum-v4 has 4"):
        unnamed.of_environment("InvertedPendulum-v4")


def test_episodes_that_no_time_limit_cut_cannot_be_given_one_afterwards():
    columns = recording(rows=3 * TIME_LIMIT)
    del columns["timeouts"]
    with pytest.warns(UserWarning, match="its environment is not known: only terminals end its episodes"):
        unnamed = Dataset.from_arrays(**columns)
    with pytest.raises(DataError, match=f"time limit of DatasetToy-v0, {TIME_LIMIT} steps"):
        unnamed.of_environment("DatasetToy-v0")
    named = Dataset.from_arrays(**columns, env="DatasetToy-v0")
    assert len(named.episode_returns) > len(unnamed.episode_returns)
    assert named.of_environment("DatasetToy-v0").episodes is named.episodes


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
    ("lengths", "told"), [([200, 200], True), ([200, 150], False), ([200] + [30] * 15, False)]
)
def test_terminals_at_the_time_limit_are_told(lengths, told):
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
    assert ["terminals are step 200 of an episode" in str(one.message) for one in caught] == [True] * told


def test_a_dataset_tells_its_size_not_its_numbers():
    assert repr(load("hopper-demo")) == (
        "<Dataset hopper-demo: 98,766 transitions, 800 episodes, mean return 349.6, environment Hopper-v4>"
    )


def messages_of(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return make(), " ".join(str(each.message) for each in caught)


@pytest.mark.parametrize("name", ["truncations", "truncated", "timeout"])
def test_time_limits_under_other_names_are_read(tmp_path, name):
    columns = recording()
    expected = Dataset.from_arrays(**columns)
    columns[name] = columns.pop("timeouts")
    columns["terminations"] = columns.pop("terminals")
    dataset = load(write(tmp_path / "data.hdf5", columns))
    assert dataset.episodes.tolist() == expected.episodes.tolist()
    assert dataset.terminals.tolist() == expected.terminals.tolist()


def test_names_of_one_meaning_must_agree(tmp_path):
    columns = recording()
    expected = Dataset.from_arrays(**columns)
    found = Dataset.from_arrays(**columns, truncations=columns["timeouts"])
    assert found.episodes.tolist() == expected.episodes.tolist()
    columns["truncations"] = np.zeros(6, bool)
    with pytest.raises(
        DataError, match="`timeouts` and `truncations` mean the same but differ, first in row 5"
    ):
        Dataset.from_arrays(**columns)
    with pytest.raises(DataError, match="mean the same but differ"):
        load(write(tmp_path / "data.hdf5", columns))


def test_dones_complete_what_the_other_flags_leave_out(tmp_path):
    columns = recording()
    expected = Dataset.from_arrays(**columns)
    dones = columns["terminals"] | columns["timeouts"]
    for left_out in ("terminals", "timeouts"):
        rest = {key: column for key, column in columns.items() if key != left_out}
        found = load(write(tmp_path / "data.hdf5", rest | {"dones": dones}))
        assert found.terminals.tolist() == expected.terminals.tolist()
        assert found.episodes.tolist() == expected.episodes.tolist()
    rest = {key: column for key, column in columns.items() if key not in ("terminals", "timeouts")}
    path = write(tmp_path / "data.hdf5", rest | {"dones": dones})
    found, told = messages_of(lambda: load(path))
    assert found.terminals.sum() == 2
    assert "marks ends of episodes by `dones` alone" in told


def test_flags_that_look_like_ends_and_are_not_read_are_named(tmp_path):
    columns = recording(timeouts=np.zeros(6, bool))
    path = write(tmp_path / "data.hdf5", columns | {"is_last": np.arange(6) == 4, "other": np.arange(6)})
    assert "is_last may mark ends" in messages_of(lambda: load(path))[1]
    columns = recording()
    path = write(tmp_path / "data.hdf5", columns | {"is_last": columns["terminals"] | columns["timeouts"]})
    assert "is_last" not in messages_of(lambda: load(path))[1]


def test_one_done_for_both_ends_is_told():
    ends = np.arange(6) % 3 == 2
    _, told = messages_of(lambda: Dataset.from_arrays(**recording(terminals=ends, timeouts=ends)))
    assert "all 2 timeouts are terminals" in told
    ends = np.arange(12) % 3 == 2
    _, told = messages_of(
        lambda: Dataset.from_arrays(**recording(12, terminals=ends, timeouts=np.zeros(12, bool)))
    )
    assert "4 of 4 terminals are step 3 of an episode" in told


def test_the_shipped_dataset_gives_no_warning():
    assert messages_of(lambda: load("hopper-demo"))[1] == ""


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


def test_integer_actions_are_told(tmp_path):
    columns = recording(actions=np.arange(6)[:, None] % 2)
    for make in (
        lambda: Dataset.from_arrays(**columns),
        lambda: load(write(tmp_path / "data.hdf5", columns)),
    ):
        assert "integers (int64) with 2 distinct values" in messages_of(make)[1]


def test_episodes_in_a_list_are_told_to_be_concatenated():
    for lengths in ((2, 4), (3, 3)):
        cuts = np.cumsum(lengths)[:-1]
        columns = {key: np.split(column, cuts) for key, column in recording().items()}
        with pytest.raises(DataError, match=r"np.concatenate.* mark the last step of each"):
            Dataset.from_arrays(**columns)


def test_the_length_of_a_dataset_is_its_number_of_transitions():
    assert len(Dataset.from_arrays(**recording())) == 5
