"""The numbers of the presets beside those that were published: a slip would change results silently."""

import shutil

import pytest

import cocoa
from cocoa.algos import REGISTRY
from cocoa.api import configuration
from cocoa.config.presets import find_presets, preset_notes
from cocoa.config.resolve import resolve
from cocoa.data.sources.shipped import shipped_file

MEDIUM, REPLAY, EXPERT = "medium", "medium-replay", "medium-expert"
FULL = "full-replay"
VERSIONS = dict.fromkeys(("maze2d", "pen", "door", "hammer", "relocate"), "v1")
PUBLISHED = {
    "mopo": (
        ("rollout_length", "penalty_weight"),
        {
            "halfcheetah": {MEDIUM: (5, 0.5), REPLAY: (5, 0.5), EXPERT: (5, 2.5)},
            "hopper": {MEDIUM: (5, 5.0), REPLAY: (5, 2.5), EXPERT: (5, 5.0)},
            "walker2d": {MEDIUM: (5, 0.5), REPLAY: (1, 2.5), EXPERT: (1, 2.5)},
        },
    ),
    "mobile": (
        ("rollout_length", "penalty_weight", "auto_alpha"),
        {
            "halfcheetah": {
                "random": (5, 0.5, True),
                MEDIUM: (5, 0.5, True),
                REPLAY: (5, 0.1, True),
                EXPERT: (5, 2.0, True),
            },
            "hopper": {
                "random": (5, 5.0, True),
                MEDIUM: (5, 1.5, False),
                REPLAY: (5, 0.1, True),
                EXPERT: (5, 1.5, True),
            },
            "walker2d": {
                "random": (5, 2.0, True),
                MEDIUM: (5, 0.5, True),
                REPLAY: (1, 0.5, True),
                EXPERT: (1, 1.5, True),
            },
        },
    ),
    "combo": (
        ("rollout_length", "weight"),
        {
            "halfcheetah": {MEDIUM: (5, 0.5), REPLAY: (5, 0.5), EXPERT: (5, 5.0)},
            "hopper": {MEDIUM: (5, 5.0), REPLAY: (5, 0.5), EXPERT: (5, 5.0)},
            "walker2d": {MEDIUM: (1, 5.0), REPLAY: (1, 0.5), EXPERT: (1, 5.0)},
        },
    ),
    "edac": (
        ("critics", "diversity_weight"),
        {
            "halfcheetah": {MEDIUM: (10, 1.0), REPLAY: (10, 1.0), EXPERT: (10, 5.0)},
            "hopper": {MEDIUM: (50, 1.0), REPLAY: (50, 1.0), EXPERT: (50, 1.0)},
            "walker2d": {MEDIUM: (10, 1.0), REPLAY: (10, 1.0), EXPERT: (10, 5.0)},
            "maze2d": {"umaze": (10, 0.1), "large": (10, 0.1)},
            "pen": {"human": (20, 1000.0), "cloned": (20, 10.0), "expert": (20, 10.0)},
            "door": {"human": (50, 200.0), "cloned": (50, 200.0), "expert": (50, 200.0)},
        },
    ),
    "rebrac": (
        ("actor_penalty", "critic_penalty"),
        {
            "halfcheetah": {
                "random": (0.001, 0.1),
                MEDIUM: (0.001, 0.01),
                REPLAY: (0.01, 0.001),
                FULL: (0.001, 0.1),
                EXPERT: (0.01, 0.1),
                "expert": (0.01, 0.01),
            },
            "hopper": {
                "random": (0.001, 0.01),
                MEDIUM: (0.01, 0.01),
                REPLAY: (0.05, 0.5),
                FULL: (0.01, 0.01),
                EXPERT: (0.1, 0.01),
                "expert": (0.1, 0.1),
            },
            "walker2d": {
                "random": (0.01, 0.0),
                MEDIUM: (0.05, 0.1),
                REPLAY: (0.05, 0.01),
                FULL: (0.01, 0.01),
                EXPERT: (0.01, 0.01),
                "expert": (0.01, 0.5),
            },
            "antmaze": {
                "umaze": (0.003, 0.002),
                "umaze-diverse": (0.003, 0.001),
                "medium-play": (0.001, 0.0005),
                "medium-diverse": (0.001, 0.0),
                "large-play": (0.002, 0.001),
                "large-diverse": (0.002, 0.002),
            },
            "maze2d": {"umaze": (0.003, 0.001), "medium": (0.003, 0.001), "large": (0.003, 0.001)},
            "pen": {"human": (0.1, 0.5), "cloned": (0.05, 0.5), "expert": (0.01, 0.01)},
            "door": {"human": (0.1, 0.1), "cloned": (0.01, 0.1), "expert": (0.05, 0.01)},
            "hammer": {"human": (0.01, 0.5), "cloned": (0.1, 0.5), "expert": (0.01, 0.01)},
            "relocate": {"human": (0.1, 0.01), "cloned": (0.1, 0.01), "expert": (0.05, 0.01)},
        },
    ),
    "fql": (
        ("alpha", "aggregation"),
        {
            "pen": {"human": (1e4, "min"), "cloned": (1e4, "min"), "expert": (3e3, "min")},
            "door": {"human": (3e4, "min"), "cloned": (3e4, "min"), "expert": (3e4, "min")},
            "hammer": {"human": (3e4, "min"), "cloned": (1e4, "min"), "expert": (3e4, "min")},
            "relocate": {"human": (1e4, "min"), "cloned": (3e4, "min"), "expert": (3e4, "min")},
        },
    ),
}
"""By algorithm: fields, then their values by robot and dataset (OfflineRL-Kit; ReBRAC's and FQL's papers)."""


def settings(algo, dataset, prefix=""):
    """What presets set for fields with this prefix, which is left away."""
    return {
        name.removeprefix(prefix): value
        for preset in find_presets(REGISTRY[algo], dataset)
        for name, value in preset.settings.items()
        if name.startswith(prefix)
    }


@pytest.mark.parametrize("algo", PUBLISHED)
def test_settings_by_dataset_are_the_published_ones(algo):
    fields, tasks = PUBLISHED[algo]
    for robot, datasets in tasks.items():
        for dataset, values in datasets.items():
            version = VERSIONS.get(robot, "v2")
            preset = {"auto_alpha": True} | settings(algo, f"{robot}-{dataset}-{version}", "algo.")
            assert tuple(preset[field] for field in fields) == values, f"{robot}-{dataset}"


def test_settings_of_all_datasets_are_the_published_ones():
    assert settings("rebrac", "hopper-medium-v2")["batch_size"] == 1024
    assert settings("td3_bc", "any") == {"data.observation_normalization": True}
    assert settings("awac", "any") == {"data.observation_normalization": True}
    assert settings("awac", "hopper-medium-v2", "algo.") == {"temperature": 0.3333}
    assert settings("xql", "hopper-medium-v2")["data.reward_normalization"] == "return_range"
    clipped = {"value_temperature": 5.0, "exponent_clip": 5.0}
    assert settings("xql", "walker2d-medium-replay-v2", "algo.") == clipped
    assert settings("xql", "hopper-medium-v2", "algo.") == {"value_temperature": 5.0}
    assert settings("xql", "hopper-medium-v2")["batch_size"] == 1024
    layers = [256, 256, 256]
    networks = {"encoder_hidden": layers, "embedding": 32, "hidden": layers}
    assert settings("cql", "hopper-medium-v2", "cocoa.") == networks


OGBENCH = {
    "fql": (
        ("alpha", "aggregation", "discount"),
        {
            "antmaze-large-navigate": (10.0, "min", 0.99),
            "antmaze-giant-navigate": (10.0, "min", 0.995),
            "humanoidmaze-medium-navigate": (30.0, "mean", 0.995),
            "humanoidmaze-large-navigate": (30.0, "mean", 0.995),
            "antsoccer-arena-navigate": (10.0, "mean", 0.995),
            "cube-single-play": (300.0, "mean", 0.99),
            "cube-double-play": (300.0, "mean", 0.99),
            "cube-triple-play": (300.0, "mean", 0.995),
            "scene-play": (300.0, "mean", 0.99),
            "puzzle-3x3-play": (1000.0, "mean", 0.99),
            "puzzle-4x4-play": (1000.0, "mean", 0.99),
        },
    ),
    "ifql": (
        ("samples", "discount"),
        {
            "antmaze-large-navigate": (32, 0.99),
            "antmaze-giant-navigate": (32, 0.995),
            "humanoidmaze-medium-navigate": (32, 0.995),
            "humanoidmaze-large-navigate": (32, 0.995),
            "antsoccer-arena-navigate": (64, 0.995),
            "cube-single-play": (32, 0.99),
            "scene-play": (32, 0.99),
            "puzzle-4x4-play": (32, 0.99),
        },
    ),
    "iql": (
        ("temperature", "discount"),
        {
            "antmaze-large-navigate": (10.0, 0.99),
            "antmaze-giant-navigate": (10.0, 0.995),
            "humanoidmaze-medium-navigate": (10.0, 0.995),
            "humanoidmaze-large-navigate": (10.0, 0.995),
            "antsoccer-arena-navigate": (1.0, 0.995),
            "cube-single-play": (1.0, 0.99),
            "cube-double-play": (0.3, 0.99),
            "cube-triple-play": (10.0, 0.995),
            "scene-play": (10.0, 0.99),
            "puzzle-3x3-play": (10.0, 0.99),
            "puzzle-4x4-play": (3.0, 0.99),
        },
    ),
    "rebrac": (
        ("actor_penalty", "critic_penalty", "discount"),
        {
            "humanoidmaze-medium-navigate": (0.01, 0.01, 0.995),
            "humanoidmaze-large-navigate": (0.01, 0.01, 0.995),
            "antsoccer-arena-navigate": (0.01, 0.01, 0.995),
            "cube-single-play": (1.0, 0.0, 0.99),
            "cube-double-play": (0.1, 0.0, 0.99),
            "cube-triple-play": (0.03, 0.0, 0.995),
            "scene-play": (0.1, 0.01, 0.99),
            "puzzle-3x3-play": (0.3, 0.01, 0.99),
            "puzzle-4x4-play": (0.3, 0.01, 0.99),
        },
    ),
}
"""By algorithm: fields, then their values by OGBench's dataset (papers of FQL, Value Flows and OptiFlow)."""


@pytest.mark.parametrize("algo", OGBENCH)
@pytest.mark.parametrize("task", ["", "-task3"])
def test_settings_of_ogbench_are_the_published_ones(algo, task):
    fields, datasets = OGBENCH[algo]
    for dataset, values in datasets.items():
        config, _ = resolve({"algo": {"name": algo}, "dataset": f"ogbench:{dataset}-singletask{task}-v0"})
        assert tuple(getattr(config.algo, field) for field in fields) == values, dataset
        assert config.algo.hidden == (512,) * 4
        assert config.algo.activation == "gelu"
        assert config.algo.critic_layer_norm


def test_mazes_of_points_have_no_settings_of_algorithms():
    for algo in OGBENCH:
        assert settings(algo, "ogbench:pointmaze-medium-navigate-singletask-v0", "algo.") == {}


FAMILIES = {
    ("iql", "antmaze-umaze-v2"): {
        "algo.expectile": 0.9,
        "algo.temperature": 10.0,
        "data.reward_shift": -1.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
    ("iql", "kitchen-partial-v0"): {"algo.temperature": 0.5, "algo.actor_dropout": 0.1},
    ("td3_bc", "antmaze-large-play-v2"): {
        "data.observation_normalization": True,
        "data.reward_shift": -1.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
    ("cql", "antmaze-medium-diverse-v2"): {
        "algo.hidden": [256] * 5,
        "algo.weight": 5.0,
        "algo.lagrange": True,
        # CORL weighs (gap - 0.8) by 5.
        "algo.lagrange_gap": 4.0,
        "algo.max_q_backup": True,
        "data.reward_scale": 10.0,
        "data.reward_shift": -5.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
    ("cql", "maze2d-umaze-v1"): {
        "algo.weight": 10.0,
        "algo.lagrange": True,
        # CORL weighs (gap - 5) by 10.
        "algo.lagrange_gap": 50.0,
        "algo.actor_learning_rate": 3e-5,
        "data.observation_normalization": True,
        "eval_episodes": 100,
    },
    ("cql", "door-cloned-v1"): {"algo.weight": 1.0, "data.observation_normalization": True},
    ("awac", "antmaze-umaze-v2"): {
        "algo.temperature": 0.1,
        "data.observation_normalization": True,
        "data.reward_shift": -1.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
    ("awac", "pen-human-v1"): {"algo.temperature": 0.1, "data.observation_normalization": True},
    ("edac", "antmaze-medium-play-v2"): {"updates": 3_000_000, "eval_every": 100_000, "eval_episodes": 100},
    ("edac", "hopper-medium-v2"): {
        "updates": 3_000_000,
        "algo.critics": 50,
        "algo.diversity_weight": 1.0,
    },
    ("xql", "antmaze-umaze-v2"): {
        "algo.temperature": 10.0,
        "algo.cosine_schedule": False,
        "data.reward_shift": -1.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
    ("xql", "kitchen-complete-v0"): {
        "batch_size": 1024,
        "algo.temperature": 0.5,
        "algo.actor_dropout": 0.1,
    },
    ("xql", "kitchen-mixed-v0"): {
        "batch_size": 1024,
        "algo.temperature": 0.5,
        "algo.actor_dropout": 0.1,
        "algo.value_temperature": 8.0,
    },
    ("mobrac", "walker2d-medium-v2"): {"batch_size": 1024},
    ("fql", "antmaze-medium-play-v2"): {
        "updates": 500_000,
        "algo.alpha": 10.0,
        "data.reward_shift": -1.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
    ("fql", "antmaze-large-diverse-v2"): {
        "updates": 500_000,
        "algo.alpha": 3.0,
        "data.reward_shift": -1.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
    ("ifql", "relocate-human-v1"): {"updates": 500_000, "algo.samples": 128},
    ("rebrac", "ogbench:antmaze-large-navigate-singletask-v0"): {
        "algo.hidden": [512] * 4,
        "algo.activation": "gelu",
        "algo.actor_learning_rate": 3e-4,
        "algo.critic_learning_rate": 3e-4,
        "eval_every": 100_000,
        "eval_episodes": 50,
    },
    ("rebrac", "antmaze-umaze-v2"): {
        "algo.discount": 0.999,
        "algo.actor_learning_rate": 3e-4,
        "algo.critic_learning_rate": 5e-5,
        "algo.actor_penalty": 0.003,
        "algo.critic_penalty": 0.002,
        "data.reward_scale": 100.0,
        "eval_every": 100_000,
        "eval_episodes": 100,
    },
}
"""By algorithm and dataset: all that presets set (codes of IQL, XQL and unifloral; CORL; ReBRAC's paper)."""


@pytest.mark.parametrize(("algo", "dataset"), FAMILIES, ids="-".join)
def test_settings_by_family_are_the_published_ones(algo, dataset):
    assert settings(algo, dataset) == FAMILIES[algo, dataset]


def test_a_pattern_behind_an_exclamation_mark_excludes():
    assert settings("mopo", "hopper-medium-replay-v2")["updates"] == 3_000_000
    assert settings("mopo", "hopper-demo")["updates"] == 40_000


@pytest.mark.parametrize(
    ("algo", "dataset", "env", "lacks"),
    [
        ("mopo", "data/own.hdf5", None, True),
        ("mopo", "data/own.hdf5", "Hopper-v4", True),
        ("mopo", "halfcheetah-random-v2", None, True),
        ("mopo", "hopper-medium-v2", None, False),
        ("cql", "hopper-demo", None, False),
        ("sac", "data/own.hdf5", None, False),
        ("td3_bc", "data/own.hdf5", None, False),
    ],
)
def test_what_a_run_says_of_its_presets(algo, dataset, env, lacks):
    config, presets = resolve({"algo": {"name": algo}, "dataset": dataset, "env": env})
    lines = preset_notes(config, presets)
    assert [line.startswith("Preset ") for line in lines] == [True] * len(presets) + [False] * lacks
    if lacks:
        assert "unless they are set, algo.penalty_weight, algo.rollout_length are at" in lines[-1]


@pytest.mark.parametrize("path", ["antmaze-umaze-v2.hdf5", "/data/Hopper_Medium-v2.hdf5", "hopper-demo.hdf5"])
def test_a_file_has_no_presets_whatever_its_name(path):
    config, presets = resolve({"algo": {"name": "iql"}, "dataset": path})
    assert presets == []
    (line,) = preset_notes(config, presets)
    assert f"applied to the file {path}: presets are for datasets by name, as in dataset=" in line
    assert settings("td3_bc", path) == {"data.observation_normalization": True}  # which is for all data


def test_a_file_called_as_a_known_dataset_does_not_pass_for_it(tmp_path):
    path = shutil.copy(shipped_file("hopper-demo"), tmp_path / "hopper-medium-v2.hdf5")
    assert cocoa.load(path).name == "hopper-medium-v2.hdf5"
    _, presets = configuration(cocoa.IQL(), cocoa.load(path))
    assert presets == []
    _, presets = configuration(cocoa.IQL(), cocoa.load("hopper-demo"))
    assert len(presets) == 2
