"""The seeker's training, and each variant of anchors, against independent oracles."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import struct
from jax.tree_util import Partial

from cocoa.algos.iql import IQL
from cocoa.anchors import (
    ANCHORS,
    AnchorVariant,
    Denoise,
    Nearest,
    Seek,
    SeekerConfig,
    SelfNoise,
    Settle,
    Zero,
    decomposition,
    register_anchors,
    table,
)
from cocoa.anchors.decomposition import Decomposition, Observe, in_chunks
from cocoa.anchors.encoder import TransductiveEncoder, build_networks
from cocoa.anchors.hashing import bit_hash
from cocoa.anchors.learned import NETWORK, NetworkMap, denoising_data, distillation_data, distillation_report
from cocoa.anchors.random import RandomMap
from cocoa.anchors.seeker import Seeker, SeekerFit, seeker_template
from cocoa.anchors.self_noise import SelfNoiseMap
from cocoa.dynamics.fit import EnsembleFit
from cocoa.errors import DataError, RunError
from cocoa.storage.serialization import load_tree, save_tree

OBSERVATION_DIM, ACTION_DIM = 5, 2
SMALL = SeekerConfig(hidden=(32, 32), max_epochs=6)


@struct.dataclass
class LinearModel:
    """The known system s' = s + B a."""

    b: jax.Array

    def mean_step(self, observation, action):
        return observation + action @ self.b, jnp.zeros(observation.shape[:-1])

    def means(self, observation, action):
        """Two members that disagree the more the larger the state."""
        mean = observation + action @ self.b
        reward = jnp.zeros((*observation.shape[:-1], 1))
        return jnp.stack([jnp.concatenate([mean + x * observation, reward], -1) for x in (-0.1, 0.1)])


def states_and_actions(rows=20_000, seed=0):
    """States of very different scales, and the actions tanh(W z) of the standardised states."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((rows, OBSERVATION_DIM))
    weights = np.random.default_rng(9).standard_normal((OBSERVATION_DIM, ACTION_DIM)) / 2
    scale = 10.0 ** np.arange(-2, OBSERVATION_DIM - 2)
    return (100 + scale * z).astype(np.float32), np.tanh(z @ weights).astype(np.float32)


def run(fit, state):
    losses = []
    while not fit.finished(state):
        state, metrics = fit.epoch(state)
        losses.append(metrics["loss"])
    return state, losses


def assert_equal_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# The seeker


def test_seeker_recovers_a_known_map_and_reports_its_error():
    states, actions = states_and_actions()
    config = SeekerConfig(hidden=(64, 64), max_epochs=10, batch_size=64)
    fit = SeekerFit(config, states, actions, jax.random.key(0))
    state, losses = run(fit, fit.init())
    fresh_states, fresh_actions = states_and_actions(seed=1)
    predicted = np.asarray(fit.result(state)(jnp.asarray(fresh_states)))
    error = np.mean((predicted - fresh_actions) ** 2)
    assert error < 0.005 * np.var(fresh_actions)
    assert error == pytest.approx(losses[-1], rel=0.5)
    assert fit.progress(state) == (10, 10)


def test_seeker_network_is_dense_relu_layernorm_and_tanh():
    states, actions = states_and_actions(300)
    fit = SeekerFit(SMALL, states, actions, jax.random.key(3))
    seeker = fit.result(fit.epoch(fit.init())[0])
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), seeker.params)
    x = (states[:50].astype(np.float64) - np.asarray(seeker.mean)) / np.asarray(seeker.std)
    for layer in range(2):
        dense, norm = params["MLP_0"][f"Dense_{layer}"], params["MLP_0"][f"LayerNorm_{layer}"]
        x = np.maximum(x @ dense["kernel"] + dense["bias"], 0)
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
        x = x * norm["scale"] + norm["bias"]
    expected = np.tanh(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
    np.testing.assert_allclose(seeker(jnp.asarray(states[:50])), expected, atol=2e-4)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_seeker_resumes_bit_for_bit(tmp_path, stop):
    states, actions = states_and_actions(3000)
    whole = SeekerFit(SMALL, states, actions, jax.random.key(5))
    uninterrupted, _ = run(whole, whole.init())

    first = SeekerFit(SMALL, states, actions, jax.random.key(5))
    state = first.init()
    for _ in range(stop):
        state, _ = first.epoch(state)
    save_tree(tmp_path / "state", state)
    second = SeekerFit(SMALL, states, actions, jax.random.key(5))
    restored = load_tree(tmp_path / "state", jax.eval_shape(second.init))
    resumed, _ = run(second, restored)
    assert_equal_bits(jax.tree.leaves(resumed), jax.tree.leaves(uninterrupted))

    save_tree(tmp_path / "seeker", second.result(resumed))
    template = seeker_template(SMALL, OBSERVATION_DIM, ACTION_DIM)
    loaded = load_tree(tmp_path / "seeker", template)
    assert isinstance(loaded, Seeker)
    assert_equal_bits(loaded(states[:10]), whole.result(uninterrupted)(states[:10]))


def test_seeker_depends_on_its_key():
    states, actions = states_and_actions(500)
    losses = [
        SeekerFit(SMALL, states, actions, key).epoch(SeekerFit(SMALL, states, actions, key).init())[1]["loss"]
        for key in (jax.random.key(0), jax.random.key(0), jax.random.key(1))
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(("patience", "min_improvement"), [(2, 0.05), (3, 0.2), (1, 0.5)])
def test_seeker_stops_when_its_loss_has_settled(patience, min_improvement):
    states, actions = states_and_actions(2000)
    noisy = np.clip(actions + np.random.default_rng(2).normal(0, 0.5, actions.shape), -1, 1)
    settling = {"learning_rate_decay": False, "patience": patience, "min_improvement": min_improvement}
    config = SeekerConfig(hidden=(32, 32), max_epochs=40, batch_size=64, **settling)
    fit = SeekerFit(config, states, noisy.astype(np.float32), jax.random.key(0))
    _, losses = run(fit, fit.init())
    assert len(losses) < 40

    best, since = np.inf, 0
    for loss in losses[:-1]:
        best, since = (loss, 0) if loss < best * (1 - min_improvement) else (best, since + 1)
        assert since < patience
    assert since == patience - 1
    assert losses[-1] >= best * (1 - min_improvement)


def test_the_step_size_of_a_seeker_falls_to_zero_over_all_its_passes():
    config = dataclasses.replace(SMALL, batch_size=64, patience=1, min_improvement=1.0)
    fit = SeekerFit(config, *states_and_actions(250), jax.random.key(0))  # 4 updates an epoch
    state, moved = fit.init(), []
    while not fit.finished(state):
        before = jax.tree.map(np.asarray, state.model.params)
        state, _ = fit.epoch(state)
        steps = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.model.params, before)
        moved.append(max(jax.tree.leaves(steps)))
    assert len(moved) == SMALL.max_epochs
    # Adam's first steps are of the step size, the last four of 1e-3 (1 + cos(π t / 24)) / 2, t = 20 to 23.
    assert moved[0] > 3e-3
    assert moved[-1] < 1e-3 * sum(1 + np.cos(np.pi * t / 24) for t in range(20, 24))


def test_the_epoch_in_which_a_seekers_last_update_is_reached_is_its_last():
    config = dataclasses.replace(SMALL, batch_size=64, max_updates=9)
    fit = SeekerFit(config, *states_and_actions(250), jax.random.key(0))  # 4 updates an epoch
    state, losses = run(fit, fit.init())
    assert len(losses) == 3
    assert fit.progress(state) == (3, 3)


@pytest.mark.parametrize(("rows", "batches"), [(1000, 4), (1024, 4), (1025, 5), (100, 1)])
def test_each_epoch_sees_every_row_in_a_new_order(rows, batches):
    states, actions = states_and_actions(rows)
    fit = SeekerFit(SeekerConfig(), states, actions, jax.random.key(0))
    first, second = fit.batches(0), fit.batches(1)
    assert first.shape == second.shape == (batches, 256)
    for order in (first, second):
        np.testing.assert_array_equal(np.sort(order.ravel()[:rows]), np.arange(rows))
    assert (first != second).any()
    np.testing.assert_array_equal(first, fit.batches(0))


def test_rollouts_that_blew_up_are_an_error():
    states, actions = states_and_actions(100)
    states[7, 2] = np.inf
    with pytest.raises(RunError, match="rollout_length"):
        SeekerFit(SMALL, states, actions, jax.random.key(0))


# The variants


@dataclass(frozen=True)
class KnownModels:
    """Models that are there already."""

    states: np.ndarray
    episodes: np.ndarray
    std: np.ndarray
    key: jax.Array
    forward: Any = None
    trained_seeker: Any = None
    denoiser: Any = None

    @property
    def salt(self):
        return jax.random.bits(self.key)

    def seeker(self, *settings):
        return self.trained_seeker


def build(variant, models):
    return jax.tree.map(jnp.asarray, variant.build(models))


def make(name, **fields):
    """A variant with those of the fields that it has."""
    return ANCHORS[name](**{key: value for key, value in fields.items() if hasattr(ANCHORS[name], key)})


def known_models(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    observations = np.cumsum(rng.normal(0, [0.1, 1, 10, 1, 1], (rows, OBSERVATION_DIM)), axis=0)
    observations = observations.astype(np.float32)
    return KnownModels(
        states=observations,
        episodes=np.arange(rows) // 50,
        std=observations.std(axis=0),
        key=jax.random.key(seed),
        forward=LinearModel(jnp.asarray(rng.normal(size=(ACTION_DIM, OBSERVATION_DIM)), jnp.float32)),
        trained_seeker=fitted_seeker(seed),
        denoiser=denoiser(observations, 1),
    )


def denoiser(observations, epochs):
    config = dataclasses.replace(
        NETWORK, hidden=(64,), weight_decay=(0.0, 0.0), batch_size=64, max_epochs=epochs
    )
    fit = EnsembleFit(config, *denoising_data(observations, observations.std(axis=0), 0), jax.random.key(0))
    state = fit.init()
    while not fit.finished(state):
        state, _ = fit.epoch(state)
    return fit.result(state)


EXACT = ("nearest", "random", "zero")
"""Variants that copy states of the data or the state itself."""


def fitted_seeker(seed):
    states, actions = states_and_actions(500)
    fit = SeekerFit(SMALL, states, actions, jax.random.key(seed))
    return fit.result(fit.init())


def off_data(models, count=100, seed=3):
    noise = np.random.default_rng(seed).standard_normal((count, OBSERVATION_DIM)).astype(np.float32)
    return jnp.asarray(models.states[:count] + models.std * noise)


@pytest.mark.parametrize("variant", ANCHORS)
def test_anchor_plus_difference_is_the_state(variant):
    models = known_models()
    states = off_data(models)
    mean, std = jnp.asarray(models.states.mean(0)), jnp.asarray(models.std)
    anchors = build(make(variant, candidates=32), models)
    seen = Observe(mean, std, anchors)(states)
    assert isinstance(seen, Decomposition)
    np.testing.assert_allclose(seen.anchor + seen.delta, (states - mean) / std, atol=1e-5)
    np.testing.assert_allclose(seen.anchor * std + mean, anchors(states), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("variant", ANCHORS)
def test_anchors_do_not_depend_on_the_batch_around_them(variant, monkeypatch):
    models = known_models()
    states = off_data(models)
    anchors = build(make(variant, candidates=32, horizon=2), models)
    apply = jax.jit(lambda anchors, states: anchors(states))
    batch = apply(anchors, states)
    alone = jnp.concatenate([apply(anchors, states[i : i + 1]) for i in range(len(states))])
    tolerance = {"atol": 1e-4, "rtol": 1e-5} if variant not in EXACT else {"atol": 0, "rtol": 0}
    np.testing.assert_allclose(alone, batch, **tolerance)
    np.testing.assert_allclose(apply(anchors, states[::-1])[::-1], batch, **tolerance)
    monkeypatch.setattr(decomposition, "CHUNK", 16)
    np.testing.assert_allclose(in_chunks(anchors, states), batch, **tolerance)
    np.testing.assert_allclose(anchors(states.reshape(4, 25, -1)).reshape(batch.shape), batch, **tolerance)
    np.testing.assert_allclose(apply(anchors, states[0]), batch[0], **tolerance)


def test_all_anchors_are_found_by_one_program(monkeypatch):
    monkeypatch.setattr(decomposition, "CHUNK", 16)
    anchors, states = build(Seek(), known_models()), np.asarray(off_data(known_models()))
    in_chunks(anchors, states[:16])
    with jax.no_tracing():
        for rows in (20, 50):
            assert in_chunks(anchors, states[:rows]).shape == (rows, states.shape[1])


@pytest.mark.parametrize("variant", ANCHORS)
def test_anchors_stack_over_seeds(variant):
    models = [known_models(seed=seed) for seed in range(3)]
    anchors = [build(make(variant, candidates=32), each) for each in models]
    states = off_data(models[0])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *anchors)
    together = jax.vmap(lambda anchors: anchors(states), axis_size=3)(stacked)
    for i in range(3):
        np.testing.assert_allclose(together[i], anchors[i](states), rtol=1e-5, atol=1e-4)


def test_factors_evaluated_together_equal_separate_ones_in_values_and_gradients(monkeypatch):
    anchor, delta, action, weights = jax.random.normal(jax.random.key(1), (4, 6, 5))
    encoder = TransductiveEncoder((8, 8), 3)
    weights = jnp.tile(weights, 2)[:, :8]

    def loss(params, anchor, delta, action):
        return jnp.sum(weights * encoder.apply({"params": params}, Decomposition(anchor, delta), action))

    params = encoder.init(jax.random.key(0), Decomposition(anchor, delta), action)["params"]

    def differentiated():
        function = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))
        return function(params, anchor, delta, action)

    separate = differentiated()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    both = differentiated()
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(separate), jax.tree.leaves(both), strict=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), separate, both)


def test_no_gradient_flows_through_observation_into_anchors():
    models = known_models()
    states = off_data(models, 4)
    anchors = build(Seek(), models)

    def sum_of_parts(states, anchors, std):
        seen = Observe(jnp.zeros(OBSERVATION_DIM), std, anchors)(states)
        return seen.anchor.sum() + 3 * seen.delta.sum()

    by_states, by_anchors = jax.grad(sum_of_parts, argnums=(0, 1))(states, anchors, jnp.ones(OBSERVATION_DIM))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(by_anchors))
    np.testing.assert_array_equal(by_states, np.full(states.shape, 3.0))


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_seek_walks_the_mean_dynamics_under_the_seeker(horizon):
    models = known_models()
    states = off_data(models, 20)
    b = np.asarray(models.forward.b, np.float64)
    walked = np.asarray(states, np.float64)
    for _ in range(horizon):
        walked = walked + np.asarray(models.trained_seeker(jnp.asarray(walked, jnp.float32))) @ b
    anchors = build(Seek(horizon=horizon), models)
    np.testing.assert_allclose(anchors(states), walked, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_nearest_is_the_best_of_all_pairs(offset):
    models = known_models(seed=4)
    shifted = (models.states + offset * models.std).astype(np.float32)
    models = KnownModels(shifted, models.episodes, models.std, models.key)
    anchors = build(Nearest(candidates=64, horizon=2), models)
    states = off_data(models, 80)
    candidates, deltas = (np.asarray(x, np.float64) for x in (anchors.data, anchors.deltas))
    std = models.std.astype(np.float64)
    for state, anchor in zip(np.asarray(states, np.float64), np.asarray(anchors(states)), strict=True):
        differences = (state - candidates)[:, None] - deltas
        distances = np.linalg.norm(differences / std, axis=-1).min(axis=1)
        chosen = np.flatnonzero((candidates == anchor).all(axis=1))
        assert distances[chosen].min() <= distances.min() + 1e-3


def test_nearest_takes_differences_over_the_horizon_within_episodes():
    episodes = np.repeat(np.arange(40), 6)
    time = np.arange(240) % 6
    observations = np.column_stack([1000 * episodes, time, time**2]).astype(np.float32)
    models = KnownModels(observations, episodes, np.ones(3, np.float32), jax.random.key(0))
    anchors = build(Nearest(candidates=50, horizon=4), models)
    assert anchors.data.shape == anchors.deltas.shape == (50, 3)
    assert len(np.unique(anchors.data, axis=0)) == 50
    assert {tuple(row) for row in np.asarray(anchors.deltas).tolist()} == {(0, -4, -16), (0, -4, -24)}
    with pytest.raises(DataError, match="horizon=6"):
        build(Nearest(horizon=6), models)


def test_nearest_takes_what_there_is_of_few_data():
    models = known_models(rows=20)
    anchors = build(Nearest(), models)
    assert anchors.data.shape == (20, OBSERVATION_DIM)
    assert anchors.deltas.shape == (19, OBSERVATION_DIM)


def test_random_anchors_are_uniform_over_the_data():
    data = jnp.arange(50.0)[:, None]
    states = jnp.linspace(0, 1, 50_000)[:, None]  # neighbours, which a weak hash would not part
    drawn = {salt: np.asarray(RandomMap(data, jnp.uint32(salt))(states))[:, 0].astype(int) for salt in (1, 2)}
    assert scipy.stats.chisquare(np.bincount(drawn[1], minlength=50)).pvalue > 1e-4
    pairs = np.bincount(50 * drawn[1][:-1] + drawn[1][1:], minlength=2500)
    assert scipy.stats.chisquare(pairs).pvalue > 1e-4
    assert np.mean(drawn[1] == drawn[2]) == pytest.approx(1 / 50, abs=0.005)


def test_self_noise_is_normal_with_the_given_scale():
    scale = np.array([0.1, 1.0, 30.0], np.float32)
    states = jnp.asarray(np.random.default_rng(0).normal(0, 1, (20_000, 3)), jnp.float32)
    noise = np.asarray(SelfNoiseMap(jnp.asarray(scale), jnp.uint32(0), 1.0)(states) - states) / scale
    for column in noise.T:
        assert scipy.stats.kstest(column, "norm").pvalue > 1e-4
    correlation = np.corrcoef(np.column_stack([noise, states]).T)
    assert np.abs(correlation - np.eye(6)).max() < 0.04


def test_self_noise_is_measured_in_deviations_of_the_data():
    models = known_models()
    states = off_data(models)
    small, large = (build(SelfNoise(noise=noise), models)(states) - states for noise in (0.3, 3.0))
    np.testing.assert_allclose(10 * small, large, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose((large / models.std).std(), 3, rtol=0.15)


def test_zero_differs_in_nothing():
    states = off_data(known_models())
    seen = Observe(jnp.zeros(5), jnp.full(5, 2.0), build(Zero(), known_models()))(states)
    assert isinstance(seen, Decomposition)
    assert not np.any(seen.delta)


def test_hash_tells_apart_what_differs_and_nothing_else():
    salt = jnp.uint32(7)
    rng = np.random.default_rng(0)
    states = jnp.asarray(rng.integers(0, 2, (5000, 20)), jnp.float32)
    distinct = len(np.unique(np.asarray(states), axis=0))
    assert len(np.unique(bit_hash(states, salt))) == distinct
    assert bit_hash(jnp.array([1.0, 2.0]), salt) != bit_hash(jnp.array([2.0, 1.0]), salt)
    assert bit_hash(jnp.array([-0.0, 2.0]), salt) == bit_hash(jnp.array([0.0, 2.0]), salt)


def test_denoising_leads_to_the_data_and_leaves_what_is_there():
    """Data whose third number equals the first: a state where it does not is led back to where it does."""
    observations = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)[:, [0, 1, 0]]
    anchors = NetworkMap(denoiser(observations, 15))
    states = observations[:200]
    off = np.asarray(anchors(jnp.asarray(states + np.array([0, 0, 0.6], np.float32))))
    assert np.abs(off[:, 2] - off[:, 0]).mean() < 0.15
    assert np.abs(off[:, 1] - states[:, 1]).mean() < 0.15
    assert np.abs(np.asarray(anchors(jnp.asarray(states))) - states).mean() < 0.15


def test_denoising_data_are_noisy_states_with_the_way_back():
    states = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32)
    std = np.array([1, 2, 3, 4], np.float32)
    inputs, targets = denoising_data(states, std, 0)
    np.testing.assert_allclose(inputs + targets, np.concatenate([states, states]), atol=1e-5)
    assert (targets[:500] == 0).all()
    sizes = (targets[500:] / std).std(axis=1)
    assert sizes.min() < 0.05
    assert 1 < sizes.max() < 5
    assert np.median(sizes) == pytest.approx(np.sqrt(0.03 * 2), rel=0.3)


def test_a_distilled_map_is_near_the_exact_one():
    models = known_models(rows=2000)
    exact = build(Seek(horizon=2), models)
    config = dataclasses.replace(NETWORK, batch_size=64, max_epochs=20)
    fit = EnsembleFit(config, *distillation_data(exact, models.states, models.std, 0), jax.random.key(0))
    state = fit.init()
    untrained = distillation_report(exact, NetworkMap(fit.result(state)), models.states, models.std, 1)
    while not fit.finished(state):
        state, _ = fit.epoch(state)
    report = distillation_report(exact, NetworkMap(fit.result(state)), models.states, models.std, 1)
    assert report["amortised/data"] < 0.5 * untrained["amortised/data"]
    assert report["amortised/perturbed"] < 0.7 * untrained["amortised/perturbed"]


@struct.dataclass
class Doubtful:
    """Two members that step by one and disagree by the distance of the first number from 3."""

    def means(self, state, action):
        doubt = jnp.abs(state[..., :1] - 3)
        low, high = (jnp.concatenate([state + 1 + sign * doubt, doubt], -1) for sign in (-1, 1))
        return jnp.stack([low, high])


def test_settle_stops_where_the_models_agree():
    models = dataclasses.replace(
        known_models(), forward=Doubtful(), trained_seeker=lambda states: states[..., :ACTION_DIM]
    )
    starts = jnp.zeros((4, OBSERVATION_DIM)).at[:, 0].set(jnp.array([0.0, 1.0, 3.0, 7.0]))
    far = Settle().build(models)(starts)
    np.testing.assert_allclose(far[:, 0], [3, 3, 3, 7], atol=1e-5)
    near = Settle(horizon=1).build(models)(starts)
    np.testing.assert_allclose(near[:, 0], [1, 2, 3, 7], atol=1e-5)


def test_networks_learn_from_anchors_without_differences():
    states = jax.random.normal(jax.random.key(0), (50, OBSERVATION_DIM))
    value = build_networks(IQL(), Zero(), ACTION_DIM).value()
    seen = Decomposition(states, jnp.zeros_like(states))
    params = value.init(jax.random.key(1), seen)["params"]
    assert value.apply({"params": params}, seen).std() > 0.01
    gradient = jax.grad(lambda p: value.apply({"params": p}, seen).mean())(params)
    assert all(
        jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient["TransductiveEncoder_0"]["anchor"])
    )


def test_a_variant_is_registered_by_a_name_of_its_own():
    class Other(Seek):
        """Not registered."""

    assert [cls.name for cls in ANCHORS.values()] == list(ANCHORS)
    assert (Seek.name, Other.name) == ("seek", "Other")
    for name, fault in [("none", "another meaning"), ("a b", "letters"), ("zero", "taken by Zero")]:
        with pytest.raises(ValueError, match=fault):
            register_anchors(name)(Other)
    assert ANCHORS["zero"] is Zero


def test_a_class_that_is_defined_again_replaces_the_former():
    try:
        for default in (1, 2):

            @register_anchors("mine")
            @dataclass(frozen=True)
            class Mine(Zero):
                length: int = default

        assert ANCHORS["mine"]().length == 2
    finally:
        del ANCHORS["mine"]


def test_a_variant_without_build_cannot_be_instantiated():
    @dataclass(frozen=True)
    class Lacking(AnchorVariant):
        """Has no build."""

    with pytest.raises(TypeError, match="build"):
        Lacking()


@pytest.mark.parametrize(
    ("variant", "fields"),
    [
        (Seek, {"horizon": 0}),
        (Seek, {"rollout_length": 0}),
        (Seek, {"rollout_noise": -0.1}),
        (Settle, {"horizon": 0}),
        (Nearest, {"horizon": 0}),
        (Nearest, {"candidates": 0}),
        (SelfNoise, {"noise": -1.0}),
        (SeekerConfig, {"max_epochs": 0}),
        (SeekerConfig, {"max_updates": 0}),
        (SeekerConfig, {"learning_rate": -1.0}),
        (SeekerConfig, {"hidden": (8, 0)}),
    ],
)
def test_values_out_of_range_are_refused(variant, fields):
    (name,) = fields
    with pytest.raises(ValueError, match=f"{name}=.* must"):
        variant(**fields)


def test_the_map_depends_on_all_settings_but_those_of_the_networks_and_of_seeds():
    assert Seek(hidden=(8,), embedding=1, encoder_hidden=(3,), per_seed=True).map_settings() == (
        Seek().map_settings()
    )
    assert set(Nearest().map_settings()) == {"horizon", "candidates", "amortised"}
    assert Denoise().map_settings() == {}


@pytest.mark.parametrize("chunk", [4, 100])
def test_a_table_holds_the_anchors_whatever_the_chunks(chunk, monkeypatch):
    monkeypatch.setattr(decomposition, "CHUNK", chunk)
    rng = np.random.default_rng(0)
    states = rng.normal(size=(11, 3)).astype(np.float32)
    next_states = np.roll(states, -1, axis=0)
    next_states[[3, 10]] = rng.normal(size=(2, 3))  # where episodes end
    result = table.anchor_table(Partial(lambda x: 2 * x + 1), states, next_states)
    np.testing.assert_array_equal(result.observation, 2 * states + 1)
    np.testing.assert_array_equal(result.next_observation, 2 * next_states + 1)


@pytest.mark.parametrize("shape", [None, (11, 3), (2, 11, 3)])
def test_observations_on_the_host_are_those_on_the_device(shape, monkeypatch):
    monkeypatch.setattr(table, "PIECE", 4)
    rng = np.random.default_rng(0)
    states, anchors = rng.normal(size=(11, 3)), None if shape is None else rng.normal(size=shape)
    observe = Observe(jnp.array([0.1, 0.2, 0.3]), jnp.array([0.7, 0.3, 1.3]))
    on_host = table.express_all(observe, states, anchors, on_host=True)
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(on_host))
    jax.tree.map(
        np.testing.assert_array_equal, on_host, table.express_all(observe, states, anchors, on_host=False)
    )
