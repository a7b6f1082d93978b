"""Datasets from arrays and files: what they hold, their environment and their hash."""

import dataclasses
import hashlib

import h5py
import numpy as np
import pytest
from support.columns import TIME_LIMIT, assert_says, messages_of, recording, write
from support.paths import ROOT

from cocoa.data import Dataset, load
from cocoa.data.inspection import inspect
from cocoa.errors import DataError
from cocoa.report.dataset_text import summary

SHARED = ROOT.parent / "shared" / "data"


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
        actual, wanted = getattr(dataset, field), getattr(expected, field)
        assert actual.dtype == wanted.dtype
        np.testing.assert_array_equal(actual, wanted)


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
    first, other = Dataset.from_arrays(**recording()), Dataset.from_arrays(**recording(rewards=np.ones(6)))
    assert first.sha256 == Dataset.from_arrays(**recording()).sha256 != other.sha256


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
    for original in (dataset, load(write(tmp_path / "data.hdf5", recording()))):
        changed = dataclasses.replace(original, rewards=-original.rewards)
        assert changed.sha256 != original.sha256
        assert dataclasses.replace(changed, rewards=2 * changed.rewards).sha256 != changed.sha256
        assert original.of_environment("DatasetToy-v0").sha256 == original.sha256


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


LAYOUTS = {
    "contiguous": {},
    "gzip, rows cut unevenly": {"compression": "gzip", "chunks": 7},
    "gzip and shuffle": {"compression": "gzip", "chunks": 7, "shuffle": True},
    "gzip with checksums": {"compression": "gzip", "chunks": 7, "fletcher32": True},
    "lzf": {"compression": "lzf", "chunks": 7},
    "gzip, larger than the data": {"compression": "gzip", "chunks": 64},
}


@pytest.mark.filterwarnings("ignore:.*has neither timeouts")
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
    dataset, expected = load(tmp_path / "data.hdf5"), Dataset.from_arrays(**columns)
    for name in ("observations", "actions", "rewards", "terminals", "next_observations", "episodes"):
        np.testing.assert_array_equal(getattr(dataset, name), getattr(expected, name))


@pytest.mark.filterwarnings("ignore:.*has neither timeouts")
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


def test_a_dataset_tells_its_size_not_its_numbers():
    assert repr(load("hopper-demo")) == (
        "<Dataset hopper-demo: 98,766 transitions, 800 episodes, mean return 349.6, environment Hopper-v4>"
    )


def test_a_mean_return_of_a_part_of_the_episodes_says_so():
    part = load("hopper-demo").of_episodes(np.arange(3))
    complete = np.array([True, False, True])
    mean = part.episode_returns[complete].mean()
    cut = dataclasses.replace(part, complete=complete)
    assert f"3 episodes, mean return {mean:.1f} of the 2 complete, environment" in repr(cut)
    text = summary(inspect(cut), [], 80)
    assert f"{mean:.6g} of the complete episodes" in text
    assert "of the complete episodes" not in summary(inspect(part), [], 80)


def test_the_shipped_dataset_gives_no_warning():
    assert messages_of(lambda: load("hopper-demo"))[1] == ""


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


def test_a_validation_split_belongs_to_the_environment_of_its_dataset():
    held_out = Dataset.from_arrays(**recording(rewards=np.ones(6)))
    dataset = Dataset.from_arrays(**recording(), validation=held_out)
    assert dataset.validation is held_out
    assert dataset.sha256 == Dataset.from_arrays(**recording()).sha256, "nothing is learned from the split"
    moved = dataset.of_environment("DatasetToy-v0")
    assert moved.validation is not None
    assert moved.validation.env == "DatasetToy-v0"
    wide = Dataset.from_arrays(**recording(actions=np.zeros((6, 2))))
    with pytest.raises(DataError, match="actions of 2") as error:
        Dataset.from_arrays(**recording(), validation=wide)
    assert_says(error, "validation split", "same environment")


def test_a_share_is_no_validation_split():
    with pytest.raises(DataError, match=r"validation=0.1 is not possible.*data.validation=0.05"):
        Dataset.from_arrays(**recording(), validation=0.1)
