"""Which datasets are known by name, what is cached of them, and what they need."""

import hashlib
import json
import sys

import pytest

from cocoa.data import load
from cocoa.data.catalog import catalog, loaded_files
from cocoa.data.sources import SOURCES
from cocoa.data.sources.d4rl import D4RL
from cocoa.data.sources.published import PUBLISHED
from cocoa.data.sources.shipped import shipped_file
from cocoa.environments.d4rl import ENVIRONMENTS

LAB = """
import cocoa

@cocoa.register_source("listed:")
class Lab(cocoa.DatasetSource):
    def names(self):
        return ["listed:maze"]

    def info(self, name):
        return cocoa.DatasetInfo(name, env="Lab/Maze-v0")

    def read(self, name, env):
        raise cocoa.DataError(f"There is no {name}.")
"""


def test_every_name_of_every_source_is_listed_once():
    names = [entry.info.name for entry in catalog()]
    assert sorted(names) == sorted(name for source in SOURCES for name in source.names())
    assert set(D4RL) < set(names)


def test_what_installed_packages_offer_is_listed_and_a_broken_one_is_told(tmp_path, monkeypatch):
    (tmp_path / "listed_lab.py").write_text(LAB)
    (tmp_path / "listed-1.dist-info").mkdir()
    (tmp_path / "listed-1.dist-info" / "METADATA").write_text("Name: listed\nVersion: 1\n")
    points = "[cocoa.datasets]\nlisted = listed_lab\nbroken = no_such_module\n"
    (tmp_path / "listed-1.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    registered = list(SOURCES)
    try:
        with pytest.warns(UserWarning, match="no_such_module, a source of datasets for broken:, cannot be"):
            (entry,) = catalog("listed:")
        assert (entry.info.name, entry.info.env) == ("listed:maze", "Lab/Maze-v0")
    finally:
        SOURCES[:] = registered
        sys.modules.pop("listed_lab", None)


def test_a_pattern_is_a_part_of_the_name_or_one_of_the_shells():
    assert [entry.info.name for entry in catalog("demo")] == ["hopper-demo"]
    assert {entry.info.name for entry in catalog("maze2d-*-dense-v1")} == {
        f"maze2d-{maze}-dense-v1" for maze in ("umaze", "medium", "large")
    }
    assert catalog("maze2d-*-dense") == []


def test_a_file_in_the_cache_is_seen_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    (entry,) = catalog("pen-human-v0")
    assert (entry.info.cached, entry.info.size) == (False, 2_037_685)
    assert entry.info.files == (tmp_path / "pen-v0_demos_clipped.hdf5",)
    entry.info.files[0].write_bytes(b"12345")
    assert (entry.info.cached, entry.info.size) == (True, 5)


def test_the_shipped_dataset_is_on_this_machine_and_needs_nothing():
    (entry,) = catalog("hopper-demo")
    assert (entry.info.env, entry.extras, entry.missing) == ("Hopper-v4", (), ())
    assert entry.info.size > 1e6


def test_an_environment_brings_its_extra_and_differences():
    for entry in catalog():
        known = ENVIRONMENTS.get(entry.info.env or "")
        assert entry.differences == (known.differences if known else "")
        assert (known.extra if known else None) in (*entry.extras, None)


def test_the_environment_is_searched_as_well():
    assert {entry.info.env for entry in catalog("Hopper-v4")} == {"Hopper-v4"}
    assert {entry.info.name[-3:] for entry in catalog("pen-*-v1")} == {"-v1"}


def test_of_a_loaded_dataset_the_files_and_their_origins_are_known(tmp_path, monkeypatch):
    path = tmp_path / "hopper_medium-v2.hdf5"
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    monkeypatch.delitem(PUBLISHED, "hopper-medium-v2")
    path.write_bytes(shipped_file("hopper-demo").read_bytes())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    origin = {"url": "http://lab/x.hdf5", "size": path.stat().st_size, "sha256": sha256}
    (tmp_path / f"{path.name}.origin.json").write_text(json.dumps(origin))
    dataset = load("hopper-medium-v2")
    known = {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256, "url": "http://lab/x.hdf5"}
    assert loaded_files(dataset, "hopper-medium-v2") == [known]
    assert loaded_files(dataset, str(path)) == [known | {"url": None}]
    both = f"[hopper-medium-v2,{shipped_file('hopper-demo')}]"
    with pytest.warns(UserWarning, match="is the same data"):
        files = loaded_files(load(both), both)
    assert [file["url"] for file in files] == ["http://lab/x.hdf5", None]
    assert [file["sha256"] for file in files] == [sha256, sha256]
    assert loaded_files(dataset, "arrays") == []
