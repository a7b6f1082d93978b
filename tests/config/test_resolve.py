"""The one way to a configuration: what the user chose wins over presets, these over defaults."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import cocoa
from cocoa.api import configuration
from cocoa.config.compose import compose
from cocoa.config.presets import preset_notes
from cocoa.config.resolve import resolve


@dataclass(frozen=True)
class Eager(cocoa.IQL):
    expectile: float = 0.95
    """Another default than the parent's."""


@pytest.mark.parametrize(
    ("algorithm", "expectile", "temperature"),
    [
        (cocoa.IQL(), 0.9, 10.0),
        (cocoa.IQL(expectile=0.7, temperature=3.0), 0.7, 3.0),
        (cocoa.IQL(temperature=3.0), 0.9, 3.0),
        (replace(cocoa.IQL(), expectile=0.6), 0.6, 3.0),
        (Eager(), 0.95, 10.0),
        (Eager(temperature=1.0), 0.95, 1.0),
    ],
)
def test_presets_set_what_was_not_passed(algorithm, expectile, temperature):
    config, presets = configuration(algorithm, "antmaze-umaze-v2")
    assert type(config.algo) is type(algorithm)
    assert (config.algo.expectile, config.algo.temperature) == (expectile, temperature)
    assert config.data.reward_shift == -1
    assert len(preset_notes(config, presets)) == len(presets) == 2


@pytest.mark.parametrize(
    ("fields", "normalization", "hidden"),
    [
        ({}, "return_range", (100, 100)),
        ({"data": {"top_episodes": 0.5}}, "return_range", (100, 100)),
        ({"data": {"reward_normalization": "none"}}, "none", (100, 100)),
        ({"cocoa": cocoa.Seek(seeker={"max_epochs": 50})}, "return_range", (100, 100)),  # type: ignore
    ],
)
def test_presets_leave_alone_single_fields_of_what_was_passed(fields, normalization, hidden):
    config, _ = configuration(cocoa.IQL(), "hopper-demo", **fields)
    assert config.data.reward_normalization == normalization
    if config.cocoa:
        assert config.cocoa.hidden == hidden
        assert config.cocoa.seeker.max_epochs == 50  # the preset of hopper-demo says 10


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"updates": np.int64(30)}, 30),
        ({"updates": np.array(30)}, 30),
        ({"updates": np.float64(30)}, 30),
    ],
)
def test_numbers_of_numpy_and_paths_are_taken(tmp_path, fields, expected):
    algorithm = cocoa.IQL(hidden=np.array([8]), expectile=np.float32(0.75), cosine_schedule=np.bool_(True))  # type: ignore
    config, _ = configuration(algorithm, "hopper-demo", runs_dir=tmp_path, **fields)
    assert config.updates == expected
    assert type(config.updates) is int
    assert config.runs_dir == str(tmp_path)
    assert config.algo == cocoa.IQL(hidden=(8,), expectile=0.75)
    assert type(config.algo.expectile) is float


def test_the_command_line_and_python_end_in_the_same_configuration():
    words = ["dataset=hopper-demo", "algo=iql", "+cocoa", "algo.expectile=0.7", "dynamics=published"]
    options = {"cocoa": cocoa.Seek(horizon=2), "dynamics": "published", "wandb": "auto"}
    typed = compose([*words, "cocoa.horizon=2"])
    assert typed == configuration(cocoa.IQL(expectile=0.7), "hopper-demo", **options)


def test_what_the_user_chose_wins_even_if_it_is_the_default():
    assert resolve({"algo": {"name": "iql"}})[0].updates == 40_000
    kept, presets = resolve({"algo": {"name": "iql"}, "updates": 1_000_000})
    assert kept.updates == 1_000_000
    assert all("updates" not in preset.settings for preset in presets)
    config, _ = configuration(cocoa.IQL(expectile=0.7), "antmaze-umaze-v2")
    assert config.algo.expectile == 0.7  # type: ignore[attr-defined]
    config, _ = compose(["dataset=antmaze-umaze-v2", "algo.expectile=0.7"])
    assert config.algo.expectile == 0.7  # type: ignore[attr-defined]
