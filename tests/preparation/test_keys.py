"""What an artifact's name in the cache depends on, and that what is there is loaded without the data."""

import dataclasses
from contextlib import nullcontext

import jax
import numpy as np
import pytest
from support.ingredients import Quiet

import cocoa
from cocoa.anchors import SeekerConfig
from cocoa.config.schema import Config
from cocoa.data import split, unnormalized_batch
from cocoa.data.preprocessing import DataConfig
from cocoa.dynamics.config import EnsembleConfig
from cocoa.preparation.anchors import build_anchors
from cocoa.preparation.cache import Store
from cocoa.preparation.models import ModelSet

SEEKER = SeekerConfig(hidden=(8,), max_epochs=1)
BASE = Config(
    cocoa.IQL(),
    cocoa.Seek(rollout_length=1, seeker=SEEKER),
    dynamics=EnsembleConfig(members=1, elites=1, hidden=(8,), weight_decay=(0.0, 0.0), max_epochs=1),
)
ALL = {"forward", "reverse", "seeker", "anchors"}


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(61, 4)).astype(np.float32)
    return cocoa.Dataset.from_arrays(
        observations=states[:-1],
        actions=rng.uniform(-3, 3, (60, 1)),
        rewards=rng.normal(size=60),
        terminals=np.zeros(60),
        timeouts=np.arange(60) == 59,
        next_observations=states[1:],
        env="InvertedPendulum-v4",
    )


@pytest.fixture
def built(dataset, tmp_path):
    """A function that builds a run's anchors and returns the kinds of artifacts that it had to compute."""

    def build(config, seed=0):
        before = set(tmp_path.glob("*.safetensors"))
        batch, _ = unnormalized_batch(dataset, config.data)
        store = Store(str(tmp_path), Quiet())
        build_anchors(
            ModelSet(config, dataset, batch, store, lambda stage: nullcontext(), seed), config.cocoa
        )
        return {path.name.partition("-")[0] for path in set(tmp_path.glob("*.safetensors")) - before}

    return build


@pytest.mark.parametrize(
    ("cocoa_changes", "changes", "fitted"),
    [
        ({"encoder_hidden": (3,), "embedding": 2, "hidden": (5,), "per_seed": True}, {}, set()),
        ({}, {"algo": cocoa.BC(), "seeds": (3,), "updates": 7}, set()),
        ({"horizon": 2}, {}, {"anchors"}),
        ({"seeker": dataclasses.replace(SEEKER, patience=2)}, {}, {"seeker", "anchors"}),
        ({"rollout_noise": 0.5}, {}, {"seeker", "anchors"}),
        ({"amortised": True}, {}, {"amortised", "anchors"}),
        ({}, {"matmul_precision": "high"}, set()),
        ({}, {"dynamics": dataclasses.replace(BASE.dynamics, patience=2)}, ALL),
    ],
)
def test_what_is_built_again_after_a_change(cocoa_changes, changes, fitted, built):
    assert built(BASE) == ALL
    changed = dataclasses.replace(BASE, cocoa=dataclasses.replace(BASE.cocoa, **cocoa_changes), **changes)
    assert built(changed) == fitted


def test_another_seed_builds_all_again(built):
    assert built(BASE) == built(BASE, seed=1) == ALL


@pytest.mark.parametrize(
    ("variant", "seeded"), [(cocoa.Zero(), False), (cocoa.Nearest(), True), (cocoa.Random(), True)]
)
def test_controls_depend_on_no_model_and_on_the_seed_only_if_they_draw(variant, seeded, built):
    config = dataclasses.replace(BASE, cocoa=variant)
    assert built(config) == {"anchors"}
    other = dataclasses.replace(config, dynamics=dataclasses.replace(BASE.dynamics, patience=2))
    assert built(other) == set()
    assert built(config, seed=1) == ({"anchors"} if seeded else set())


def test_variants_with_the_same_settings_have_their_own_anchors(built):
    assert built(dataclasses.replace(BASE, cocoa=cocoa.Zero())) == {"anchors"}
    assert built(dataclasses.replace(BASE, cocoa=cocoa.Random())) == {"anchors"}


def test_models_in_the_cache_are_loaded_without_the_data(dataset, tmp_path):
    batch, _ = unnormalized_batch(dataset, BASE.data)
    store = Store(str(tmp_path), Quiet())

    def make(batch):
        return ModelSet(BASE, dataset, batch, store, lambda stage: nullcontext(), 0)

    first = make(batch)
    settings = SEEKER, 1, 0.8, 0.1
    fitted = first.forward, first.reverse, first.seeker(*settings), first.denoiser
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
    second = make(shapes)
    loaded = second.forward, second.reverse, second.seeker(*settings), second.denoiser
    jax.tree.map(np.testing.assert_array_equal, loaded, fitted)
    assert not {"known", "state_std"} & vars(second).keys()
    assert second.report == first.report
    assert second.report.keys() >= {"forward/relative", "reverse/relative", "round_trip/relative"}
    assert second.histories == first.histories


def test_artifacts_depend_on_which_episodes_are_held_out_and_not_on_a_split_of_the_datas_own(tmp_path):
    rng = np.random.default_rng(0)
    columns = {"observations": rng.normal(size=(60, 4)), "actions": np.zeros((60, 1)), "rewards": np.ones(60)}
    columns |= {"terminals": np.zeros(60), "timeouts": np.arange(60) % 6 == 5}
    whole = cocoa.Dataset.from_arrays(**columns)
    divided = dataclasses.replace(whole, validation=whole, source_sha256=whole.sha256)

    def key(dataset, **settings):
        training, _ = split(dataset, DataConfig(**settings))
        batch, _ = unnormalized_batch(training, BASE.data)
        models = ModelSet(BASE, training, batch, Store(str(tmp_path), Quiet()), nullcontext, 0)
        return models.states_specification

    assert key(whole, validation=0.1) == key(divided, validation=0.1) == key(whole)
    assert key(whole, validation=0) == key(divided, validation=0) == key(divided)
    others = [{"validation": share} for share in (0, 0.1, 0.2, 0.5)]
    keys = [key(whole, **settings) for settings in (*others, {"validation": 0.1, "top_episodes": 0.5})]
    assert all(keys.count(one) == 1 for one in keys)


def test_the_same_file_read_as_other_episodes_has_other_artifacts(dataset, tmp_path):
    episodes = np.arange(60, dtype=np.int32) // 30  # as under a time limit of 30
    other = dataclasses.replace(
        dataset,
        episodes=episodes,
        complete=np.ones(2, bool),
        episode_returns=np.zeros(2),
        source_sha256=dataset.sha256,
    )
    specifications = [
        ModelSet(
            BASE, data, unnormalized_batch(data, BASE.data)[0], Store(str(tmp_path), Quiet()), nullcontext, 0
        )
        for data in (dataset, other)
    ]
    assert dataset.sha256 == other.sha256
    first, second = (models.states_specification for models in specifications)
    assert first != second
