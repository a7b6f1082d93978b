"""D4RL's datasets: their files, hosts, checksums and what is known of them unread."""

import re

import h5py
import numpy as np
import pytest
from support.file_server import serving

from cocoa.data import load
from cocoa.data.sources import d4rl
from cocoa.data.sources.d4rl import D4RL, D4RLSource, d4rl_urls
from cocoa.data.sources.published import PUBLISHED
from cocoa.errors import DataError

NAME, FILE = "hopper-medium-v2", "hopper_medium-v2.hdf5"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "file.hdf5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(size=(5000, 11)).astype(np.float32)
        file["actions"] = rng.uniform(-1, 1, (5000, 3)).astype(np.float32)
        file["rewards"] = np.ones(5000, np.float32)
        file["terminals"] = np.zeros(5000, bool)
    return path.read_bytes()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def unpublished(monkeypatch):
    """What servers of tests send is not D4RL's file."""
    monkeypatch.delitem(PUBLISHED, NAME)


def test_hosts_are_d4rls_own_then_the_mirror(monkeypatch):
    monkeypatch.delenv("COCOA_D4RL_MIRRORS", raising=False)
    host, mirror = d4rl_urls("antmaze-large-play-v2")
    file = "Ant_maze_hardest-maze_noisy_multistart_True_multigoal_False_sparse_fixed.hdf5"
    assert host == f"http://rail.eecs.berkeley.edu/datasets/offline_rl/ant_maze_v2/{file}"
    assert re.fullmatch(rf"https://huggingface\.co/datasets/imone/D4RL/resolve/\w{{40}}/{file}", mirror)


def test_own_mirrors_come_first(monkeypatch):
    monkeypatch.setenv("COCOA_D4RL_MIRRORS", "http://a/d4rl, https://b/x/,")
    assert d4rl_urls(NAME)[:2] == [f"http://a/d4rl/{FILE}", f"https://b/x/{FILE}"]
    assert len(d4rl_urls(NAME)) == 4


def test_a_name_is_downloaded_and_loaded_with_its_origin(content, cache, unpublished, monkeypatch):
    with serving(content) as server:
        monkeypatch.setenv("COCOA_D4RL_MIRRORS", server.url)
        dataset = load(NAME)
        load(NAME)
        assert server.requests == [None]
    assert (dataset.name, dataset.env, len(dataset.rewards)) == (NAME, "D4RL/hopper-v2", 4995)
    assert dataset.complete.sum() == 5  # no flags in the file: cut after D4RL's 1000 steps
    info = D4RLSource().info(NAME)
    assert info.cached
    assert info.files == (cache / FILE,)
    assert info.origins[0].url == server.url + FILE
    assert info.origins[0].sha256 == dataset.sha256


def test_without_a_network_the_message_names_both_hosts_and_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(d4rl, "D4RL_URL", "http://127.0.0.1:9/")  # nothing listens on port 9
    monkeypatch.setattr(d4rl, "MIRROR_URL", "http://127.0.0.1:10/")
    with pytest.raises(DataError) as error:
        load(NAME)
    for part in (
        f"http://127.0.0.1:9/gym_mujoco_v2/{FILE}: Connection refused",
        f"http://127.0.0.1:10/{FILE}: Connection refused",
        f"put it at {cache / FILE}",
        "D4RL_DATASET_DIR",
        "COCOA_D4RL_MIRRORS",
    ):
        assert part in str(error.value)


def test_a_cached_file_that_is_not_the_published_one_is_used_with_a_warning(content, cache):
    (cache / FILE).write_bytes(content)
    with pytest.warns(UserWarning, match=f"not the file that D4RL publishes as {NAME}"):
        load(NAME)
    assert D4RLSource().info(NAME).origins == (None,)


def test_a_file_that_does_not_fit_its_name_is_named_as_the_wrong_one(cache):
    with h5py.File(cache / FILE, "w") as file:
        file["observations"], file["actions"] = np.zeros((5, 17)), np.zeros((5, 6))
        file["rewards"], file["terminals"] = np.zeros(5), np.zeros(5)
    with pytest.raises(DataError) as error:
        load(NAME)
    assert f"not the file that D4RL publishes as {NAME}" in str(error.value)
    assert str(error.value).endswith("Move it away to have it downloaded.")
    assert "env=" not in str(error.value)


def test_checksums_are_of_known_names_and_differ():
    assert set(PUBLISHED) <= set(D4RL)
    assert len({published.sha256 for published in PUBLISHED.values()}) == len(PUBLISHED) == 102
    for published in PUBLISHED.values():
        assert re.fullmatch(r"[0-9a-f]{64}", published.sha256)
        assert 500_000 < published.size < 1e9


def test_files_have_different_names_in_the_cache():
    assert len({task.path.rpartition("/")[2] for task in D4RL.values()}) == len(D4RL)
