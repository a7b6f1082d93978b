"""Lists of datasets: their transitions as one dataset, whose files may be named in every way that one may."""

import dataclasses
import json
import weakref

import gymnasium
import h5py
import numpy as np
import pytest
from support.columns import columns, messages_of, recording, write

import cocoa
from cocoa.cli import main
from cocoa.config.compose import compose
from cocoa.data import load
from cocoa.data.concatenation import concatenated
from cocoa.data.sources import dataset_name, find_source, from_anywhere, label
from cocoa.data.sources.names import members
from cocoa.errors import ConfigError, DataError
from cocoa.runs.folder import read_config


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files of Pendulum's sizes in the working directory; the first is cut without a flag."""
    monkeypatch.chdir(tmp_path)
    data = columns()
    write(tmp_path / "a.hdf5", data | {"timeouts": np.zeros(40, bool)})
    write(tmp_path / "b.hdf5", data | {"rewards": data["rewards"] + 1})
    return ["a.hdf5", "b.hdf5"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a.hdf5", "b.hdf5"], "[a.hdf5,b.hdf5]"),
        (["my data.hdf5", "hopper-demo"], "[my data.hdf5,hopper-demo]"),
        (["a,b.hdf5", "[c].hdf5", 'say "d"', " e", "é\n"], None),
        (["minari:mujoco/hopper/medium-v0", "/x/b.h5"], "[minari:mujoco/hopper/medium-v0,/x/b.h5]"),
    ],
)
def test_a_list_is_one_text_from_which_its_members_are_read(names, text):
    assert dataset_name(names) == text or text is None
    assert members(dataset_name(names)) == names


def test_reference_returns_are_kept_where_all_files_have_the_same(files):
    for name in files:
        with h5py.File(name, "a") as file:
            file.attrs["reference_returns"] = [0.0, 8.0]
    data = load(files)
    assert data.reference_returns == data.of_episodes(np.array([1])).reference_returns == (0.0, 8.0)
    with h5py.File("b.hdf5", "a") as file:
        file.attrs["reference_returns"] = [0.0, 9.0]
    assert load(files).reference_returns is None


def test_datasets_of_two_environments_are_refused_before_a_download(monkeypatch, tmp_path):
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    with pytest.raises(DataError, match="they cannot be put together"):
        load(["hopper-medium-v2", "walker2d-medium-v2"])
    assert list(tmp_path.iterdir()) == []


def test_the_environment_of_a_list_is_known_where_one_member_has_it(files):
    assert find_source("[a.hdf5,hopper-demo]").info("[a.hdf5,hopper-demo]").env == "Hopper-v4"


def test_a_list_of_one_is_that_one():
    assert dataset_name(["hopper-demo"]) == "hopper-demo"


@pytest.mark.parametrize("text", ["[a.hdf5,,b.hdf5]", "[]", '["a.hdf5]', '["a"b]', "[a,]"])
def test_a_list_that_cannot_be_read_is_refused(text):
    with pytest.raises(DataError, match="is not a list of datasets"):
        load(text)


@pytest.mark.parametrize("names", [[], [["a.hdf5"], "b.hdf5"], ["a.hdf5", None], {"a": 1}, 3])
def test_a_list_of_anything_else_is_refused(names):
    with pytest.raises(ConfigError, match="is not possible"):
        load(names)


def test_transitions_come_one_after_the_other_and_each_end_of_a_file_ends_an_episode(files):
    first, second = (load(file, "Pendulum-v1") for file in files)
    both = load(files, "Pendulum-v1")
    for key in ("observations", "actions", "rewards", "terminals", "next_observations", "next_observed"):
        expected = np.concatenate([getattr(first, key), getattr(second, key)])
        np.testing.assert_array_equal(getattr(both, key), expected)
    assert both.episodes.tolist() == [0] * 40 + [1] * 40
    assert both.episodes.dtype == np.int32
    assert both.complete.tolist() == [False, True]
    assert not both.terminals.any()
    assert both.episode_returns.tolist() == [*first.episode_returns, *second.episode_returns]
    assert (both.name, both.env) == ("a+b", "Pendulum-v1")


def test_their_memory_is_free_once_they_are_copied(files):
    datasets = [load(file) for file in files]
    arrays = [weakref.ref(data.observations) for data in datasets]
    both = concatenated(datasets, "both")
    assert datasets == [array() for array in arrays if array() is not None] == []
    assert len(both) == 80


def test_validation_splits_are_put_together(files):
    first, second = (load(file) for file in files)
    both = concatenated([dataclasses.replace(first, validation=second), second], "both")
    assert len(both.validation) == 40
    assert concatenated([first, second], "both").validation is None


def test_the_digest_is_that_of_all_files_in_their_order(files):
    digests = {load(names).sha256 for names in (files, files[::-1], files[:1], files[1:])}
    assert len(digests) == 4
    assert load(files).sha256 == load("[a.hdf5,b.hdf5]").sha256


def test_files_without_next_observations_do_not_run_into_each_other(tmp_path):
    data = recording()
    for name in "ab":
        write(tmp_path / f"{name}.hdf5", data | {"rewards": data["rewards"] + ord(name)})
    both = load([tmp_path / "a.hdf5", tmp_path / "b.hdf5"])
    assert len(both) == 10  # the last step of each second episode has no next observation
    assert both.episodes.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


def test_an_environment_that_one_file_names_is_that_of_all(files):
    with h5py.File("b.hdf5", "a") as file:
        file.attrs["env_id"] = "Pendulum-v1"
    assert load(files).env == "Pendulum-v1"


def test_other_sizes_are_refused(files):
    data = columns()
    write("b.hdf5", data | {key: data[key][:, :2] for key in ("observations", "next_observations")})
    with pytest.raises(DataError, match="a has 3 numbers per row in `observations`, and b 2"):
        load(files)


def test_other_environments_are_refused(files):
    gymnasium.register("OtherPendulum-v0", "gymnasium.envs.classic_control:PendulumEnv")
    try:
        for path, env in zip(files, ("Pendulum-v1", "OtherPendulum-v0"), strict=True):
            with h5py.File(path, "a") as file:
                file.attrs["env_id"] = env
        with pytest.raises(DataError, match="b is of OtherPendulum-v0 and a is of Pendulum-v1: they cannot"):
            load(files)
        assert load(files, "Pendulum-v1").env == "Pendulum-v1"
    finally:
        del gymnasium.registry["OtherPendulum-v0"]


def test_a_missing_member_is_named_before_any_is_read(files):
    with pytest.raises(DataError, match="'hoper-demo' is neither a known name nor a file"):
        load([*files, "hoper-demo"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rewards: rewards * 1000, "was scaled or shifted"),
        (lambda rewards: rewards + 100, "was scaled or shifted"),
        (lambda rewards: rewards, "is the same data"),
    ],
)
def test_rewards_of_other_units_and_equal_data_are_warned_of(files, change, message):
    data = columns()
    write("b.hdf5", data | {"timeouts": np.zeros(40, bool), "rewards": change(data["rewards"])})
    _, messages = messages_of(lambda: load(files))
    assert message in messages


def test_sparse_rewards_of_which_one_was_shifted_are_warned_of(files):
    data = columns()
    reached = (np.arange(40) > 30).astype(np.float32)
    write("a.hdf5", data | {"rewards": reached})
    write("b.hdf5", data | {"rewards": reached - 1})
    assert "[0, 1] and those of b in [-1, 0]" in messages_of(lambda: load(files))[1]
    write("b.hdf5", data | {"rewards": 0 * reached})
    assert not messages_of(lambda: load(files))[1]


def test_the_command_line_takes_lists_and_every_member_is_found_from_anywhere(files, tmp_path):
    config, presets = compose(["dataset=[a.hdf5,b.hdf5]"])
    assert config.dataset == "[a.hdf5,b.hdf5]"
    assert not any(preset.datasets for preset in presets)
    assert from_anywhere(config.dataset) == f"[{tmp_path}/a.hdf5,{tmp_path}/b.hdf5]"
    assert label(from_anywhere(config.dataset)) == "a+b"
    assert from_anywhere("[hopper-demo,b.hdf5]") == f"[hopper-demo,{tmp_path}/b.hdf5]"


def test_a_run_on_files_is_named_after_them_and_goes_on_where_they_are_now(files, tmp_path, monkeypatch):
    policy = cocoa.fit(
        cocoa.BC(hidden=(4,)), files, updates=2, log_every=1, eval_episodes=0, runs_dir="runs", name="x"
    )
    assert policy.folder.absolute() == tmp_path / "runs" / "a+b" / "bc" / "x"
    assert read_config(policy.folder).dataset == f"[{tmp_path}/a.hdf5,{tmp_path}/b.hdf5]"
    (tmp_path / "new").mkdir()
    for file in files:
        (tmp_path / file).rename(tmp_path / "new" / file)
    with pytest.raises(DataError, match="If the file has moved, say where it is now"):
        cocoa.resume(policy.folder, updates=3)
    folder = policy.folder.absolute()
    monkeypatch.chdir(tmp_path / "new")
    assert main([f"resume={folder}", "dataset=[a.hdf5,b.hdf5]", "updates=3"]) == 0
    assert read_config(folder).dataset == f"[{tmp_path}/new/a.hdf5,{tmp_path}/new/b.hdf5]"
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"
