"""Settings that change nothing are told, and no others."""

import pytest

from algos import REGISTRY
from cocoa.compose import compose
from cocoa.config import ANCHOR_VARIANTS
from cocoa.effect import idle_fields, idle_settings


@pytest.mark.parametrize(
    ("arguments", "idle"),
    [
        ("algo=iql", []),
        ("algo=iql +cocoa algo.temperature=2 dynamics=quick cocoa.hidden=[8]", []),
        ("algo=iql +cocoa=settle", []),
        ("algo=mopo dynamics.members=5", []),
        ("algo=mopo +cocoa=zero dynamics.members=5", []),
        ("algo=iql dynamics.members=5 dynamics.elites=5", ["dynamics.members=5"]),
        ("algo=iql +cocoa=zero dynamics=quick", ["dynamics.learning_rate=0.005"]),
        ("algo=iql +cocoa algo.hidden=[8]", ["algo.hidden=[8]; with +cocoa, cocoa.hidden"]),
        ("algo=iql +cocoa cocoa.noise=1 cocoa.candidates=8", ["cocoa.candidates=8;", "cocoa.noise=1.0;"]),
        ("algo=iql +cocoa=nearest cocoa.candidates=8 cocoa.seeker.patience=1", ["cocoa.seeker.patience=1;"]),
    ],
)
def test_what_is_set_without_effect(arguments, idle):
    sentences = idle_settings(compose([*arguments.split(), "dataset=own.hdf5"])[0])
    assert len(sentences) == len(idle)
    for sentence, part in zip(sentences, idle, strict=True):
        assert sentence.startswith(f"Without effect: {part}")


@pytest.mark.parametrize(
    "arguments", ["algo=iql", "algo=td3_bc +cocoa=zero", "algo=iql +cocoa cocoa.variant=zero"]
)
def test_presets_set_nothing_without_effect(arguments):
    config, presets = compose([*arguments.split(), "dataset=hopper-demo"])
    assert presets
    assert idle_settings(config) == []


def test_every_variant_and_algorithm_has_an_answer():
    for algo in REGISTRY:
        assert "algo.hidden" not in idle_fields(algo, None)
        assert all("algo.hidden" in idle_fields(algo, variant) for variant in ANCHOR_VARIANTS)
        assert ("dynamics." in idle_fields(algo, None)) == (REGISTRY[algo].members == 0)
