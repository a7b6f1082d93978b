"""What a checkpoint tells beside its arrays: nothing that is missing, damaged or of another run is used."""

import dataclasses
import json
import os

import numpy as np
import pytest
import safetensors.numpy

import cocoa
from cocoa.anchors import Seek, Zero
from cocoa.config.schema import Config
from cocoa.data.preprocessing import DataConfig
from cocoa.errors import RunError
from cocoa.runs.checkpoint import FORMAT, Position, read_position
from cocoa.storage.serialization import read_metadata, save_tree

CONFIG = Config(cocoa.IQL(hidden=(16,)), Seek(), seeds=(3, 7), updates=60)
POSITION = Position(40, 123, 456, 78, 90, "the data's", "the models'", {"training": 1.5})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "latest.safetensors"
    save_tree(path, {"a": np.arange(5, dtype=np.float32)}, POSITION.metadata(CONFIG))
    return path


def with_metadata(path, metadata):
    """Write the metadata into the file, with a checksum if they have none."""
    arrays = safetensors.numpy.load_file(path)
    if "sha256" in metadata:
        safetensors.numpy.save_file(arrays, path, metadata)
    else:
        save_tree(path, {"a": arrays["['a']"]}, metadata)


def test_a_position_comes_back_exactly(path):
    assert read_position(path, CONFIG) == POSITION


def test_without_a_checkpoint_a_run_stands_at_its_start(tmp_path):
    assert read_position(tmp_path / "latest.safetensors", CONFIG) == Position()


@pytest.mark.parametrize(
    "name", ["step", "metrics", "metrics_crc32", "episodes", "episodes_crc32", "inputs_sha256", "seconds"]
)
def test_missing_metadata_are_named(path, name):
    metadata = read_metadata(path)
    del metadata["sha256"], metadata[name]
    with_metadata(path, metadata)
    with pytest.raises(RunError, match=f"'{name}' is missing in its metadata.*or delete it"):
        read_position(path, CONFIG)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"step": text} for text in ("", "many", "-1", "1.5", "9" * 5000)),
        *({"metrics": "-1"}, {"metrics_crc32": "x"}, {"episodes": "-1"}),
        *({"seconds": text} for text in ("", "[]", "{", "[" * 100_000, '{"a": "b"}', '{"a": null}', "7")),
        *({"config": text} for text in ("", "{", "[" * 100_000)),
    ],
    ids=str,
)
def test_metadata_that_make_no_sense_are_told(path, wrong):
    metadata = read_metadata(path) | wrong
    del metadata["sha256"]
    with_metadata(path, metadata)
    with pytest.raises(RunError, match="is damaged: its metadata are not those of a"):
        read_position(path, CONFIG)


@pytest.mark.parametrize("name", ["step", "metrics", "seconds", "config"])
def test_metadata_count_for_the_checksum(path, name):
    with_metadata(path, read_metadata(path) | {name: "1"})
    with pytest.raises(RunError, match="does not have the checksum"):
        read_position(path, dataclasses.replace(CONFIG))


@pytest.mark.parametrize("other", [None, "1", str(FORMAT + 1), "two"])
def test_a_checkpoint_of_another_format_is_refused_in_one_sentence(path, other):
    metadata = read_metadata(path)
    del metadata["sha256"], metadata["format"]
    with_metadata(path, metadata | ({} if other is None else {"format": other}))
    with pytest.raises(
        RunError, match=f"has the format {other or 1} of .*, and not {FORMAT}: start a new run\\.$"
    ):
        read_position(path, CONFIG)


def test_a_checksum_is_not_lost(path):
    metadata = read_metadata(path)
    metadata["sha257"] = metadata.pop("sha256")
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, metadata)
    with pytest.raises(RunError, match="does not have the checksum"):
        read_position(path, CONFIG)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"seeds": (3, 8)}, r"seeds is \[3, 7\] there, and \[3, 8\] here"),
        ({"algo": cocoa.IQL(hidden=(16,), expectile=0.8)}, r"algo\.expectile is 0\.7 there, and 0\.8 here"),
        ({"algo": cocoa.BC(hidden=(16,))}, r'algo\.name is "iql" there, and "bc" here'),
        ({"cocoa": Zero()}, r'cocoa\.variant is "seek" there, and "zero" here'),
        ({"data": DataConfig(top_episodes=0.5)}, r"data\.top_episodes is 1\.0 there, and 0\.5 here"),
        ({"batch_size": 7}, r"batch_size is 256 there, and 7 here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(path, other, told):
    with pytest.raises(RunError, match=told):
        read_position(path, dataclasses.replace(CONFIG, **other))


def test_with_cocoa_and_without_are_different_runs(path):
    with pytest.raises(RunError, match="is of another run"):
        read_position(path, dataclasses.replace(CONFIG, cocoa=None))
    save_tree(path, {}, POSITION.metadata(dataclasses.replace(CONFIG, cocoa=None)))
    with pytest.raises(RunError, match="is of another run"):
        read_position(path, CONFIG)


def test_where_and_how_long_a_run_trains_may_change(path):
    elsewhere = dataclasses.replace(
        CONFIG, updates=99, eval_every=7, eval_episodes=1, log_every=3, devices=2, stream=True, wandb="off"
    )
    elsewhere = dataclasses.replace(
        elsewhere, name="x", runs_dir="y", cache_dir="z", dataset="moved", env="E"
    )
    assert read_position(path, elsewhere) == POSITION


def test_fields_that_another_version_adds_or_lacks_are_not_compared(path):
    metadata = read_metadata(path)
    config = json.loads(metadata["config"])
    config["algo"]["added"] = config["added"] = 1
    del metadata["sha256"], config["algo"]["expectile"]
    with_metadata(path, metadata | {"config": json.dumps(config)})
    assert read_position(path, CONFIG) == POSITION


def test_what_is_no_file_is_told_at_once(path):
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunError, match="it is a FIFO"):
        read_position(path, CONFIG)
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(RunError, match="cannot be read"):
        read_position(path, CONFIG)
