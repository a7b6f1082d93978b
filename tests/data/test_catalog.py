"""Which datasets are known by name, what is cached of them, and what they need."""

from cocoa.data.catalog import catalog
from cocoa.data.sources import SOURCES
from cocoa.data.sources.d4rl import D4RL
from cocoa.environments.d4rl import ENVIRONMENTS


def test_every_name_of_every_source_is_listed_once():
    names = [entry.info.name for entry in catalog()]
    assert sorted(names) == sorted(name for source in SOURCES for name in source.names())
    assert set(D4RL) < set(names)


def test_a_pattern_is_a_part_of_the_name_or_one_of_the_shells():
    assert [entry.info.name for entry in catalog("demo")] == ["hopper-demo"]
    assert {entry.info.name for entry in catalog("maze2d-*-dense-v1")} == {
        f"maze2d-{maze}-dense-v1" for maze in ("umaze", "medium", "large")
    }
    assert catalog("maze2d-*-dense") == []


def test_a_file_in_the_cache_is_seen_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    (entry,) = catalog("pen-human-v0")
    assert (entry.info.cached, entry.info.size) == (False, None)
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
