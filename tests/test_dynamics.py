"""Models of the environment against systems whose answer is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cocoa.serialization import load_tree, save_tree
from dynamics.config import EnsembleConfig
from dynamics.ensemble import Ensemble, init_params, negative_log_likelihood, predict
from dynamics.fit import EnsembleFit
from dynamics.forward import ForwardModel, forward_data
from dynamics.report import format_report, holdout_report
from dynamics.reverse import ReverseModel, reverse_data, reverse_rollouts

SMALL = EnsembleConfig(
    members=3, elites=2, hidden=(32, 32), weight_decay=(0.0, 0.0, 0.0), batch_size=64, max_epochs=30
)
TRANSITION = np.array([[0.9, 0.2], [-0.1, 0.8]])
CONTROL = np.array([[0.5], [0.3]])
NOISE = 0.05


@pytest.fixture(scope="module")
def system():
    """s' = A s + B a + noise, r = s_0: both directions have known means."""
    rng = np.random.default_rng(0)
    s, a = rng.normal(size=(6000, 2)), rng.uniform(-1, 1, (6000, 1))
    s_next = s @ TRANSITION.T + a @ CONTROL.T + NOISE * rng.normal(size=s.shape)
    return [x.astype(np.float32) for x in (s, a, s[:, 0], s_next)]


def train(fit):
    state = fit.init()
    while not fit.finished(state):
        state, _ = fit.epoch(state)
    return state


@pytest.fixture(scope="module")
def models(system):
    s, a, r, s_next = system
    forward = EnsembleFit(SMALL, *forward_data(s, a, r, s_next), jax.random.key(0))
    reverse = EnsembleFit(SMALL, *reverse_data(s, a, s_next), jax.random.key(1))
    return ForwardModel(forward.result(train(forward))), ReverseModel(reverse.result(train(reverse)))


def test_forward_model_finds_a_linear_system_and_its_noise(models):
    forward, _ = models
    s = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (200, 2)), jnp.float32)
    a = jnp.full((200, 1), 0.4)
    s_next, r = forward.mean_step(s, a)
    np.testing.assert_allclose(s_next, s @ TRANSITION.T + a @ CONTROL.T, atol=0.05)
    np.testing.assert_allclose(r, s[:, 0], atol=0.05)
    mean, std = forward.distribution(s, a)
    assert mean.shape == std.shape == (2, 200, 3)
    np.testing.assert_allclose(mean.mean(0)[:, :2], s_next, atol=1e-5)
    np.testing.assert_allclose(std[..., :2].mean(), NOISE, rtol=0.5)


def test_reverse_model_finds_the_inverse(models):
    _, reverse = models
    s = np.random.default_rng(1).uniform(-0.7, 0.7, (200, 2)).astype(np.float32)
    a = np.full((200, 1), -0.3, np.float32)
    s_next = s @ TRANSITION.T + a @ CONTROL.T
    # With little noise, E[s | s', a] is nearly A⁻¹ (s' - B a).
    back = reverse.mean_step(jnp.asarray(s_next, jnp.float32), jnp.asarray(a))
    np.testing.assert_allclose(back, s, atol=0.06)


def test_report_tells_errors_in_physical_units(models, system):
    s, a, r, s_next = (x[:500] for x in system)
    report = holdout_report(*models, s, a, r, s_next)
    ahead, reward = models[0].mean_step(s, a)
    for i in range(2):
        expected = np.sqrt(np.mean((np.asarray(ahead)[:, i] - s_next[:, i]) ** 2))
        assert report[f"forward/observation_{i}"] == pytest.approx(expected, rel=1e-4)
    assert report["forward/reward"] == pytest.approx(
        np.sqrt(np.mean((np.asarray(reward) - r) ** 2)), rel=1e-3
    )
    back = np.asarray(models[1].mean_step(ahead, jnp.asarray(a)))
    relative = np.sqrt(np.mean(((back - s) / s.std(0)) ** 2))
    assert report["round_trip/relative"] == pytest.approx(relative, rel=1e-4)
    assert 0.8 * NOISE < report["forward/observation_0"] < 1.5 * NOISE
    assert "round trip" in format_report(report)


def test_loss_equals_its_derivation():
    params = init_params(jax.random.key(0), 3, (5, 4), 2)
    params["max_log_variance"] = jnp.array([0.1, -0.4])
    params["min_log_variance"] = jnp.array([-1.0, -2.0])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    decay, penalty = (0.1, 0.2, 0.3), 0.05
    h = x
    for i, layer in enumerate(params["layers"]):
        h = h @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
        h = h if i == 2 else h / (1 + np.exp(-h))
    mean, raw = h[:, :2], h[:, 2:]
    low, high = np.array([-1.0, -2.0]), np.array([0.1, -0.4])
    upper = high - np.log1p(np.exp(high - raw))
    log_variance = low + np.log1p(np.exp(upper - low))
    loss = np.mean((mean - y) ** 2 / np.exp(log_variance) + log_variance)
    loss += sum(
        w / 2 * np.sum(np.asarray(layer["kernel"], np.float64) ** 2)
        for w, layer in zip(decay, params["layers"], strict=True)
    )
    loss += penalty * np.sum(high - low)
    np.testing.assert_allclose(negative_log_likelihood(params, x, y, decay, penalty), loss, rtol=1e-5)
    np.testing.assert_allclose(predict(params, x)[1], log_variance, rtol=1e-4)


def test_a_fit_cut_in_two_equals_one_in_one_piece(system, tmp_path):
    s, a, r, s_next = system
    config = dataclasses.replace(SMALL, max_epochs=4)
    whole = EnsembleFit(config, *forward_data(s, a, r, s_next), jax.random.key(3))
    expected = whole.result(train(whole))
    first = EnsembleFit(config, *forward_data(s, a, r, s_next), jax.random.key(3))
    state, _ = first.epoch(first.epoch(first.init())[0])
    save_tree(tmp_path / "state", state)
    again = EnsembleFit(config, *forward_data(s, a, r, s_next), jax.random.key(3))
    state = load_tree(tmp_path / "state", jax.eval_shape(again.init))
    while not again.finished(state):
        state, _ = again.epoch(state)
    jax.tree.map(np.testing.assert_array_equal, again.result(state), expected)


def test_members_return_to_their_best_epoch_and_the_best_become_elites(system):
    s, a, r, s_next = system
    fit = EnsembleFit(
        dataclasses.replace(SMALL, max_epochs=6), *forward_data(s, a, r, s_next), jax.random.key(0)
    )
    state = train(fit)
    x, y = fit.holdout_data
    errors = [
        float(np.mean((predict(jax.tree.map(lambda p, i=i: p[i], state.best_params), x)[0] - y) ** 2))
        for i in range(SMALL.members)
    ]
    np.testing.assert_allclose(state.best_error, errors, rtol=1e-4)
    elites = np.argsort(errors)[: SMALL.elites]
    kernel = fit.result(state).params["layers"][0]["kernel"]
    np.testing.assert_array_equal(kernel, state.best_params["layers"][0]["kernel"][elites])
    assert not np.array_equal(kernel[0], kernel[1])


def test_fit_stops_when_nothing_improves():
    rng = np.random.default_rng(0)
    config = dataclasses.replace(SMALL, max_epochs=60, patience=2)
    fit = EnsembleFit(config, rng.normal(size=(400, 3)), rng.normal(size=(400, 1)), jax.random.key(0))
    state = train(fit)
    assert int(state.epoch) < 60
    assert int(state.stale_epochs) == 2


def test_holdout_is_kept_out_of_training():
    x = np.arange(500, dtype=np.float32)[:, None]
    fit = EnsembleFit(SMALL, x, x, jax.random.key(0))
    mean, std = fit.input_moments
    train_rows = np.asarray(fit.train_data[0] * std + mean).round().astype(int)[:, 0]
    assert len(fit.holdout) == 100
    assert set(train_rows) | set(fit.holdout.tolist()) == set(range(500))
    assert not set(train_rows) & set(fit.holdout.tolist())


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (np.zeros((5, 2)), np.zeros((4, 1)), "5 rows and targets 4"),
        (np.zeros(5), np.zeros((5, 1)), "two axes"),
        (np.full((5, 2), np.nan), np.zeros((5, 1)), "row 0"),
        (np.zeros((1, 2)), np.zeros((1, 1)), "at least 2"),
    ],
)
def test_bad_arrays_are_refused(inputs, targets, words):
    with pytest.raises(ValueError, match=words):
        EnsembleFit(SMALL, inputs, targets, jax.random.key(0))


def constant_ensemble(values, std=0.0):
    """Members without hidden layers whose outputs are constants: which member spoke can be read off."""
    members = [
        {
            "layers": [{"kernel": jnp.zeros((3, 4)), "bias": jnp.array([v, -v, -40.0, -40.0])}],
            "min_log_variance": jnp.full(2, -40.0),
            "max_log_variance": jnp.full(2, -30.0),
        }
        for v in values
    ]
    params = jax.tree.map(lambda *x: jnp.stack(x), *members)
    return Ensemble(params, jnp.zeros(3), jnp.ones(3), jnp.zeros(2), jnp.ones(2))


def test_each_row_is_sampled_from_one_member_all_equally_often():
    ensemble = constant_ensemble([1.0, 2.0, 3.0, 4.0, 5.0])
    keys = jax.random.split(jax.random.key(0), 400)
    draws = jax.vmap(lambda key: ensemble.sample(jnp.zeros((7, 3)), key))(keys)
    chosen = np.rint(np.asarray(draws[..., 0])).astype(int)
    np.testing.assert_allclose(draws[..., 1], -chosen, atol=1e-3)
    counts = np.stack([(chosen == v).sum(0) for v in range(1, 6)])
    assert counts.shape == (5, 7)
    assert (np.abs(counts - 80) < 5 * np.sqrt(80)).all()


def test_rollouts_walk_back_along_one_direction_each():
    """With s = s' + (v, -v) and no noise, a rollout is an arithmetic progression with a constant action."""
    model = ReverseModel(constant_ensemble([0.5]))
    rng = np.random.default_rng(0)
    starts = rng.normal(size=(50, 2)).astype(np.float32)
    directions = rng.uniform(-1, 1, (20, 1)).astype(np.float32)
    states, actions = reverse_rollouts(model, starts, directions, jax.random.key(0), 4, 2.0, 0.0)
    assert states.shape == (200, 2)
    assert actions.shape == (200, 1)
    steps = states.reshape(4, 50, 2)
    expected = starts + np.arange(1, 5)[:, None, None] * np.array([0.5, -0.5])
    np.testing.assert_allclose(steps, expected, atol=1e-3)
    directions_used = actions.reshape(4, 50)
    assert (directions_used == directions_used[0]).all()
    assert np.isin(directions_used[0], np.clip(2 * directions, -1, 1)).all()
    noisy = reverse_rollouts(model, starts, directions, jax.random.key(0), 4, 0.5, 0.1)[1].reshape(4, 50)
    assert 0.07 < (noisy - noisy.mean(0)).std() * np.sqrt(4 / 3) < 0.13


def test_chunks_of_rollouts_do_not_lose_rows(monkeypatch):
    monkeypatch.setattr("dynamics.reverse._STARTS_AT_ONCE", 16)
    model = ReverseModel(constant_ensemble([0.5]))
    starts = np.arange(80, dtype=np.float32).reshape(40, 2)
    states, _ = reverse_rollouts(model, starts, np.zeros((3, 1)), jax.random.key(0), 1, 1.0, 0.0)
    np.testing.assert_allclose(states, starts + np.array([0.5, -0.5]), atol=1e-3)
