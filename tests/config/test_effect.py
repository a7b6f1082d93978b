"""The run names settings that change nothing, and no others."""

import pytest

from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS
from cocoa.config.compose import compose
from cocoa.config.effect import idle_fields, idle_settings
from cocoa.config.presets import load_presets


@pytest.mark.parametrize(
    ("arguments", "idle"),
    [
        ("algo=iql", []),
        ("algo=iql +cocoa algo.temperature=2 dynamics=published cocoa.hidden=[8]", []),
        ("algo=iql +cocoa=settle", []),
        (
            "algo=bc algo.discount=0.9 data.reward_normalization=return_range",
            ["algo.discount=0.9 data.reward_normalization=return_range"],
        ),
        ("algo=mopo dynamics.members=5 algo.discount=0.9", []),
        ("algo=mopo +cocoa=zero dynamics.members=5", []),
        ("algo=iql dynamics.members=6 dynamics.elites=3", ["dynamics.members=6 dynamics.elites=3"]),
        ("algo=iql +cocoa=zero dynamics.max_epochs=24", ["dynamics.max_epochs=24"]),
        ("algo=iql +cocoa algo.hidden=[8] algo.temperature=2", ["algo.hidden=[8]"]),
        ("algo=iql +cocoa=random cocoa.per_seed=true", []),
        ("algo=iql +cocoa=nearest cocoa.candidates=8 dynamics.patience=2", ["dynamics.patience=2"]),
    ],
)
def test_what_is_set_without_effect(arguments, idle):
    sentences = idle_settings(compose([*arguments.split(), "dataset=own.hdf5"])[0])
    assert len(sentences) == len(idle)
    for sentence, part in zip(sentences, idle, strict=True):
        assert sentence.partition(";")[0] == f"Without effect: {part}"


@pytest.mark.parametrize("arguments", ["algo=iql", "algo=td3_bc +cocoa=zero"])
def test_presets_set_nothing_without_effect(arguments):
    config, presets = compose([*arguments.split(), "dataset=hopper-demo"])
    assert presets
    assert idle_settings(config) == []
    settings = {
        field for preset in load_presets() if "hopper-demo" in preset.datasets for field in preset.settings
    }
    assert "dynamics.max_updates" in settings  # in runs that have models


def test_every_variant_and_algorithm_has_an_answer():
    fields = ("algo.hidden", "algo.hidden_of_mine", "dynamics.members")
    for algo in REGISTRY:
        assert "algo.hidden" not in idle_fields(fields, algo, None)
        for variant in ANCHORS:
            idle = idle_fields(fields, algo, variant)
            assert "algo.hidden" in idle
            assert "algo.hidden_of_mine" not in idle
        assert ("dynamics.members" in idle_fields(fields, algo, None)) == (not REGISTRY[algo].members)
