"""The collected OGBench set: its paths, its layout, and that the source of OGBench reads it."""

import numpy as np
import pytest

import cocoa
from benchmarks.ogbench_set import NAME, collect, distances, main, next_cell

pytest.importorskip("ogbench")

MAZE = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]])


def test_the_way_to_a_goal_is_the_shortest_around_walls():
    ahead = distances(MAZE, (1, 3))
    assert ahead[1, 1] == 4
    assert np.isinf(ahead[MAZE == 1]).all()
    way = [(1, 1)]
    while way[-1] != (1, 3):
        way.append(next_cell(ahead, way[-1]))
    assert way == [(1, 1), (2, 1), (2, 2), (2, 3), (1, 3)]
    assert next_cell(ahead, (1, 3)) == (1, 3)


def test_the_same_seed_gives_the_same_trajectories():
    first, again, other = (collect(1, np.random.default_rng(seed), steps=50) for seed in (0, 0, 1))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["observations"], other["observations"])


def test_trajectories_go_far_and_differ():
    columns = collect(3, np.random.default_rng(0), steps=300)
    ends = np.flatnonzero(columns["terminals"])
    assert ends.tolist() == [300, 601, 902]
    spans = [np.ptp(part, axis=0).max() for part in np.split(columns["observations"], ends[:-1] + 1)]
    assert min(spans) > 4  # a cell's width
    assert np.abs(columns["actions"]).max() <= 1
    assert np.array_equal(columns["observations"], columns["qpos"])  # in this maze


def test_the_source_of_ogbench_reads_the_set(tmp_path, monkeypatch):
    monkeypatch.setenv("OGBENCH_DATASET_DIR", str(tmp_path))
    main(["--trajectories", "2", "--held-out", "1"])
    dataset = cocoa.load(f"ogbench:{NAME.replace('-v0', '-singletask-task3-v0')}")
    assert len(dataset.rewards) == 2000
    assert dataset.validation is not None
    assert len(dataset.validation.rewards) == 1000
    assert set(np.unique(dataset.rewards)) <= {-1.0, 0.0}
