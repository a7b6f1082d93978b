"""`cocoa data list`: a table for people, JSON for programs."""

import json

from cocoa.cli import main
from cocoa.cli.data import table
from cocoa.data import DatasetInfo
from cocoa.data.catalog import Entry


def test_a_list_names_what_is_cached_and_where_it_is_evaluated(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    (tmp_path / "hopper_medium-v2.hdf5").write_bytes(bytes(2_500_000))
    assert main(["data", "list", "hopper-medium-v?"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["dataset", "cached", "size", "environment", "extra", "note"]
    assert "hopper-medium-v1  -       96.5 MB  D4RL/hopper-v2  -" in lines
    assert "hopper-medium-v2  yes     2.5 MB   D4RL/hopper-v2  -" in lines
    assert "3 datasets, 1 of them cached (2.5 MB)." in lines


def test_json_holds_the_same(capsys):
    assert main(["data", "list", "hopper-demo", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["name"], entry["cached"], entry["env"]) == ("hopper-demo", True, "Hopper-v4")
    assert entry["bytes"] > 1e6
    assert entry["extras"] == entry["missing"] == []


def test_a_pattern_without_a_match_is_an_error(capsys):
    assert main(["data", "list", "hoper"]) == 2
    said = capsys.readouterr().err
    assert "No dataset that is known by name matches 'hoper'. The nearest names are hopper-demo" in said


def test_a_table_fits_the_terminal_and_loses_nothing():
    names = [f"antmaze-{maze}-diverse-v2" for maze in ("umaze", "medium", "large")]
    entries = [Entry(DatasetInfo(name, env=f"Lab/{name}", extra="minari")) for name in names]
    for name in names:
        row = [name, "-", "-", f"Lab/{name}", "minari"]
        assert row in [line.split() for line in lines_of(entries, 88)]
    narrow = lines_of(entries, 60)
    assert ["antmaze-medium-", "-", "-", "Lab/antmaze-", "minari"] in [line.split() for line in narrow]
    assert "".join(narrow).count("diverse-v2") == 6


def lines_of(entries, width):
    lines = table(entries, width).splitlines()
    assert max(map(len, lines)) <= width
    return lines


def test_inspect_asks_for_a_dataset_alone(capsys):
    assert main(["data", "inspect"]) == 2
    assert "required: dataset. " in capsys.readouterr().err


def test_without_a_verb_the_verbs_are_shown(capsys):
    assert main(["data"]) == 2
    assert "verb" in capsys.readouterr().err
