"""OGBench's single tasks equal what OGBench itself makes of the same files."""

import gymnasium
import numpy as np
import pytest
from support.ogbench import make, record
from support.pendulum import assert_same_run

import cocoa
from cocoa.data import load
from cocoa.data.npz import check_archive
from cocoa.data.sources import find_source
from cocoa.data.sources.ogbench import KINDS, MIRROR_URL, OGBENCH_URL, ogbench_urls
from cocoa.errors import DataError
from cocoa.runs.summary import read_summary

ogbench = pytest.importorskip("ogbench")

TASKS = {
    "pointmaze-medium-navigate-singletask-v0": "pointmaze-medium-singletask-v0",
    "antsoccer-arena-stitch-singletask-task2-v0": "antsoccer-arena-singletask-task2-v0",
    "cube-double-play-singletask-task4-v0": "cube-double-singletask-task4-v0",
    "scene-noisy-singletask-v0": "scene-singletask-v0",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OGBENCH_DATASET_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*DISPLAY", "ignore:.*precision lowered")
@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_what_ogbench_makes_of_its_files(name, folder, monkeypatch):
    monkeypatch.setattr("cocoa.data.sources.ogbench._ROWS", 7)
    stem = name[: name.index("-singletask")] + "-v0"
    env = make(TASKS[name])
    path = record(folder / f"{stem}.npz", env)
    expected = ogbench.make_env_and_datasets(name, dataset_path=str(path), dataset_only=True, cur_env=env)
    env.close()
    dataset = load(f"ogbench:{name}")
    assert dataset.validation is not None
    for part, columns in zip((dataset, dataset.validation), expected, strict=True):
        for key in ("observations", "next_observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(part, key), columns[key])
        np.testing.assert_array_equal(part.terminals, columns["masks"] == 0)
        ends = np.append(np.diff(part.episodes) > 0, True)
        np.testing.assert_array_equal(ends, columns["terminals"] == 1)
        assert part.complete.all()
        assert part.next_observed.all()
    assert (len(dataset), len(dataset.complete), len(dataset.validation)) == (21, 3, 7)
    assert 0 < dataset.terminals.sum() < len(dataset)
    assert dataset.env == f"ogbench:{TASKS[name]}"


def test_tasks_on_the_same_file_are_told_apart(folder):
    record(folder / "pointmaze-medium-own-v0.npz", make("pointmaze-medium-singletask-task2-v0"))
    first, second = (load(f"ogbench:pointmaze-medium-own-singletask-task{task}-v0") for task in (1, 2))
    assert not first.terminals.any()
    assert second.terminals.any()
    assert first.sha256 != second.sha256


def test_the_names_are_those_of_environments_with_single_tasks():
    suffix = "-singletask-v0"
    known = {env.removesuffix(suffix) for env in gymnasium.registry if env.endswith(suffix)}
    assert set(KINDS) == {env for env in known if not env.startswith("visual-")}
    name = "ogbench:scene-play-singletask-task3-v0"
    info = find_source(name).info(name)
    assert info.env == "ogbench:scene-singletask-task3-v0"
    assert [file.name for file in info.files] == ["scene-play-v0.npz", "scene-play-v0-val.npz"]
    assert info.extra == "ogbench"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cube-single-play-v0", "no rewards. Name one of its tasks: ogbench:cube-single-play-singletask-v0"),
        ("cube-single-play-oraclerep-v0", "ogbench:cube-single-play-singletask-task1-v0 to -task5-v0"),
        ("visual-cube-single-play-singletask-v0", "images"),
        ("powderworld-easy-play-v0", "not supported"),
        ("cube-singl-play-singletask-v0", "nearest names are ogbench:cube-single-play-singletask-v0"),
        ("cube-single-play-singletask-task6-v0", "-singletask-task1-v0 to -singletask-task5-v0"),
        ("cube-single-own-singletask-v0", "no dataset"),  # as there is no such file
        ("../../etc/passwd", "no dataset"),
    ],
)
def test_what_is_no_single_task_is_refused_before_anything_is_downloaded(name, said, folder):
    for ask in (find_source("ogbench:").info, load):
        with pytest.raises(DataError, match=said):
            ask(f"ogbench:{name}")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"terminals": np.zeros(24)}, "must be set in the last row of each trajectory"),
        ({"terminals": np.ones(24)}, "at least two"),
        ({"terminals": np.full(24, 2.0)}, "`terminals` holds 2"),
        ({"terminals": np.ones(5)}, r"`observations` has shape \(24, 2\), and not \(5, 2\)"),
        ({"qpos": np.zeros((24, 1))}, r"`qpos` has shape \(24, 1\), and not \(24, 2\)"),
        ({"observations": np.zeros((24, 3))}, r"`observations` has shape \(24, 3\)"),
        ({"observations": np.full((24, 2), np.nan)}, "`observations` holds nan"),
        ({"actions": np.full((24, 2), 1.5)}, r"`actions` holds 1.5 .* outside of \[-1, 1\]"),
        ({"qpos": None}, "key `qpos` is missing"),
    ],
)
def test_a_file_that_is_not_ogbenchs_is_refused(change, said, folder):
    path = record(folder / "pointmaze-large-own-v0.npz", make("pointmaze-large-singletask-v0"))
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=said) as error:
        load("ogbench:pointmaze-large-own-singletask-v0")
    assert str(path) in str(error.value)


def test_a_resumed_run_repeats_the_evaluations_of_the_uninterrupted_one(folder, tmp_path_factory):
    record(folder / "pointmaze-medium-own-v0.npz", make("pointmaze-medium-singletask-v0"))
    runs = tmp_path_factory.mktemp("runs")
    sizes = {"batch_size": 8, "log_every": 5, "eval_every": 5, "eval_episodes": 1, "wandb": "off"}
    name, options = "ogbench:pointmaze-medium-own-singletask-v0", sizes | {"runs_dir": str(runs)}
    whole, cut = (
        cocoa.fit(cocoa.BC(hidden=(8,)), name, updates=updates, name=f"{updates}", **options).folder
        for updates in (10, 5)
    )
    cocoa.resume(cut, updates=10)
    assert_same_run(cut, whole)
    summary = read_summary(cut)
    assert summary["score"]["per_seed"] == summary["success"]["per_seed"] == [0.0]
    assert summary["behaviour_score"] is None


def test_files_come_from_the_users_mirrors_first(monkeypatch):
    assert ogbench_urls("a.npz") == [f"{OGBENCH_URL}a.npz", f"{MIRROR_URL}a.npz"]
    monkeypatch.setenv("COCOA_OGBENCH_MIRRORS", "http://here/ogbench/, http://there")
    assert ogbench_urls("a.npz")[:2] == ["http://here/ogbench/a.npz", "http://there/a.npz"]


def test_what_is_no_archive_is_not_kept(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"<html>404</html>")
    with pytest.raises(OSError, match=r"no \.npz file"):
        check_archive(tmp_path / "a.npz")
