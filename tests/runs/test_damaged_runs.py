"""Runs whose files are damaged, lost, or of another run: what is said, and what is written again."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.numpy
from support.pendulum import ENV, arrays_in, assert_same_run, interrupt

import cocoa
from cocoa.errors import RunError
from cocoa.runs import checkpoint, experiment, launch, record
from cocoa.runs.summary import read_summary
from cocoa.storage import serialization
from cocoa.storage.serialization import read_metadata


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """A cache of models that no other module fills."""
    return tmp_path_factory.mktemp("artifacts")


def test_a_run_that_goes_on_with_other_models_says_so(config, finished, monkeypatch):
    """And its policies are those of the models that it goes on with."""
    interrupt(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        launch.run(dataclasses.replace(config, name="refitted"))
    folder = finished.parent / "refitted"
    for name in ("latest", "interface"):
        path = folder / "checkpoints" / f"{name}.safetensors"
        arrays, metadata = safetensors.numpy.load_file(path), read_metadata(path)
        if name == "interface":
            arrays = {name: array + 1 for name, array in arrays.items()}
        metadata |= {"inputs_sha256": "of others"}
        metadata["sha256"] = serialization._checksum(sorted(arrays.items()), metadata)
        safetensors.numpy.save_file(arrays, path, metadata)
    launch.resume(folder)
    assert "Warning: the scaling, models, seeker or anchors" in (folder / "log.txt").read_text()
    interface = [(run / "checkpoints" / "interface.safetensors").read_bytes() for run in (folder, finished)]
    assert arrays_in(interface[0]) == arrays_in(interface[1])


def test_a_checkpoint_of_another_shape_is_told(config, finished):
    folder = shutil.copytree(finished, finished.parent / "reshaped")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("encoder_hidden:\n  - 8", "encoder_hidden:\n  - 4"))
    with pytest.raises(RunError, match=r"encoder_hidden is \[8\] there, and \[4\] here"):
        cocoa.load_policy(folder)


def test_a_damaged_summary_is_written_anew(config, finished):
    folder = shutil.copytree(finished, finished.parent / "unsummarised")
    (folder / "summary.json").write_text("{")
    launch.resume(folder)
    assert read_summary(folder)["score"] == read_summary(finished)["score"]
    assert_same_run(folder, finished)


def test_what_a_policy_needs_is_written_anew(config, finished):
    folder = shutil.copytree(finished, finished.parent / "senseless")
    interface = folder / "checkpoints" / "interface.safetensors"
    content = interface.read_bytes()
    interface.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match=r"cocoa\.resume\("):
        cocoa.load_policy(folder)
    launch.resume(folder)
    assert arrays_in(interface.read_bytes()) == arrays_in(content)
    assert_same_run(folder, finished)


def test_a_run_does_not_begin_with_the_models_of_another_dataset(config, monkeypatch):
    """It was killed when models were fitted, and nothing trained."""
    monkeypatch.setattr(experiment.Experiment, "_train", lambda *args: None)
    monkeypatch.setattr(record.Record, "close", lambda *args: None)
    launch.run(dataclasses.replace(config, name="killed"))
    monkeypatch.undo()
    folder = Path(config.runs_dir) / "pendulum" / "iql+cocoa" / "killed"
    dataset = cocoa.load(config.dataset, ENV)
    assert not (folder / "checkpoints" / "latest.safetensors").exists()
    with pytest.raises(RunError, match="has changed since"):
        launch.resume(folder, dataclasses.replace(dataset, rewards=-dataset.rewards))
    launch.resume(folder)
    assert read_summary(folder)["status"] == "finished"


def test_a_lost_curve_is_drawn_anew_and_nothing_else_changes(config, finished):
    folder = shutil.copytree(finished, finished.parent / "incomplete")
    (folder / "learning_curve.png").unlink()
    launch.resume(folder)
    assert (folder / "learning_curve.png").stat().st_size > 10_000
    for name in ("summary.json", "metrics.csv"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    name = "checkpoints/interface.safetensors"
    assert read_metadata(folder / name) == read_metadata(finished / name)
    assert arrays_in((folder / name).read_bytes()) == arrays_in((finished / name).read_bytes())


def test_a_damaged_checkpoint_and_lost_metrics_are_told(config, finished):
    folder = shutil.copytree(finished, finished.parent / "damaged")
    (folder / "summary.json").write_text("{}")
    (folder / "metrics.csv").unlink()
    with pytest.raises(RunError, match=r"metrics\.csv is missing or empty, and cannot be made again"):
        launch.resume(folder)
    checkpoint = folder / "checkpoints" / "latest.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunError, match="delete it to train again"):
        launch.resume(folder)


def test_a_checkpoint_that_is_not_its_run_s_is_told_and_nothing_is_lost(config, finished):
    folder = shutil.copytree(finished, finished.parent / "swapped")
    (folder / "summary.json").write_text("{}")
    checkpoint = folder / "checkpoints" / "latest.safetensors"
    whole, rows = checkpoint.read_bytes(), (folder / "metrics.csv").read_bytes()
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("expectile: 0.7", "expectile: 0.8"))
    for load in (launch.resume, cocoa.load_policy):
        with pytest.raises(RunError, match=r"algo\.expectile is 0\.7 there, and 0\.8 here"):
            load(folder)
    (folder / "config.yaml").write_text(text)
    checkpoint.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for load in (launch.resume, cocoa.load_policy):
        with pytest.raises(RunError, match="does not have the checksum"):
            load(folder)
    checkpoint.unlink()
    os.mkfifo(checkpoint)
    for load in (launch.resume, cocoa.load_policy):
        with pytest.raises(RunError, match="it is a FIFO"):
            load(folder)
    checkpoint.unlink()
    checkpoint.write_bytes(whole)
    assert (folder / "metrics.csv").read_bytes() == rows
    launch.resume(folder)
    assert_same_run(folder, finished)


def test_an_interface_that_is_not_the_run_s_is_told_and_written_again(config, finished):
    folder = shutil.copytree(finished, finished.parent / "swapped-interface")
    path = folder / "checkpoints" / "interface.safetensors"
    whole, arrays, metadata = path.read_bytes(), safetensors.numpy.load_file(path), read_metadata(path)
    other = json.loads(metadata["config"]) | {"seeds": [1, 2]}
    swapped = {**metadata, "config": json.dumps(other)}
    shorter = {name: array[:1] for name, array in arrays.items()}
    for damage in (
        lambda: path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])),
        lambda: safetensors.numpy.save_file(arrays, path),
        lambda: safetensors.numpy.save_file(arrays, path, swapped),
        lambda: safetensors.numpy.save_file(shorter, path, metadata),
        lambda: (path.unlink(), os.mkfifo(path)),
    ):
        damage()
        with pytest.raises(RunError, match=r"cocoa\.resume\("):
            cocoa.load_policy(folder)
        launch.resume(folder)
        assert read_metadata(path, verified=True) == metadata
        assert arrays_in(path.read_bytes()) == arrays_in(whole)


def test_a_run_of_another_format_is_refused(config, finished, monkeypatch):
    folder = shutil.copytree(finished, finished.parent / "earlier")
    (folder / "summary.json").write_text("{}")
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    for load in (launch.resume, cocoa.load_policy):
        with pytest.raises(RunError, match=r"of another version, and not \d: start a new run\.$"):
            load(folder)


def test_a_run_in_whose_folder_nothing_can_be_locked_is_told(finished):
    folder = shutil.copytree(finished, finished.parent / "unlocked")
    (folder / "summary.json").write_text("{}")
    (folder / ".lock").unlink(missing_ok=True)
    (folder / ".lock").mkdir()
    with pytest.raises(RunError, match=r"\.lock cannot be written"):
        launch.resume(folder)


def test_artifacts_are_shared_by_seeds_and_algorithms_and_rebuilt_when_damaged(config, finished):
    cache = Path(config.cache_dir)
    before = {path: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")}
    again = dataclasses.replace(config, seeds=(5,), algo=cocoa.IQL(hidden=(16,), expectile=0.9), name="other")
    launch.run(again)
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")} == before
    damaged = next(cache.glob("seeker-*.safetensors"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    launch.run(dataclasses.replace(config, name="repaired"))
    assert arrays_in(damaged.read_bytes()) == arrays_in(content)
    assert_same_run(finished.parent / "repaired", finished)
