"""Models of the environment against systems whose answer is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cocoa.dynamics import fit as fitting
from cocoa.dynamics.accuracy import format_report, forward_report, reverse_report
from cocoa.dynamics.config import ENSEMBLES, EnsembleConfig
from cocoa.dynamics.ensemble import Ensemble, ensemble_template, init_params, negative_log_likelihood, predict
from cocoa.dynamics.fit import EnsembleFit, _keep_best, held_out_rows
from cocoa.dynamics.forward import ForwardModel, forward_data
from cocoa.dynamics.reverse import ReverseModel, reverse_data, reverse_rollouts
from cocoa.storage.serialization import load_tree, save_tree

SMALL = EnsembleConfig(
    members=3,
    elites=2,
    hidden=(32, 32),
    weight_decay=(0.0, 0.0, 0.0),
    learning_rate=1e-3,
    learning_rate_decay=False,
    batch_size=64,
    max_epochs=15,
    max_updates=None,
    variance_exponent=0.0,
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
    np.testing.assert_allclose(forward.means(s, a), mean, rtol=1e-5, atol=1e-6)
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
    forward, reverse = models
    report = forward_report(forward, s, a, r, s_next)
    assert "reverse" not in format_report(report)
    report |= reverse_report(forward, reverse, s, a, r, s_next)
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


@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_loss_equals_its_derivation(exponent):
    params = init_params(jax.random.key(0), 3, (5, 4), 2)
    params["max_log_variance"] = jnp.array([0.1, -0.4])
    params["min_log_variance"] = jnp.array([-1.0, -2.0])
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(7, 3))), jnp.asarray(rng.normal(size=(7, 2)))
    decay, penalty = (0.1, 0.2, 0.3), 0.05
    h = np.asarray(x, np.float64)
    for i, layer in enumerate(params["layers"]):
        h = h @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
        h = h if i == 2 else h / (1 + np.exp(-h))
    mean, raw = h[:, :2], h[:, 2:]
    low, high = np.array([-1.0, -2.0]), np.array([0.1, -0.4])
    upper = high - np.log1p(np.exp(high - raw))
    log_variance = low + np.log1p(np.exp(upper - low))
    variance = np.exp(log_variance)
    weights = variance**exponent / np.mean(variance**exponent)
    loss = np.mean(weights * ((mean - y) ** 2 / variance + log_variance))
    loss += sum(
        w / 2 * np.sum(np.asarray(layer["kernel"], np.float64) ** 2)
        for w, layer in zip(decay, params["layers"], strict=True)
    )
    loss += penalty * np.sum(weights.mean(axis=0) * (high - low))
    value, gradient = jax.value_and_grad(negative_log_likelihood)(params, x, y, decay, penalty, exponent)
    np.testing.assert_allclose(value, loss, rtol=1e-5)
    np.testing.assert_allclose(predict(params, x)[1], log_variance, rtol=1e-4)
    by_mean = weights * 2 * (mean - y) / variance
    by_log_variance = weights * (1 - (mean - y) ** 2 / variance)  # the weights count as constant
    by_raw = by_log_variance / (1 + np.exp(low - upper)) / (1 + np.exp(raw - high))
    by_bias = np.concatenate([by_mean, by_raw], axis=1).sum(axis=0) / y.size
    np.testing.assert_allclose(gradient["layers"][-1]["bias"], by_bias, rtol=1e-4)


@pytest.mark.parametrize("restart", [False, True])
def test_a_fit_cut_in_two_equals_one_in_one_piece(system, tmp_path, restart):
    s, a, r, s_next = system
    config = dataclasses.replace(SMALL, max_epochs=4, restart_from_best=restart)
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


def test_all_epochs_run_one_program(monkeypatch):
    """Members are trained in threads of their own."""
    traced = []

    def loss(*inputs):
        traced.append(inputs)
        return negative_log_likelihood(*inputs)

    monkeypatch.setattr(fitting, "negative_log_likelihood", loss)
    config = dataclasses.replace(SMALL, batch_size=48)  # as in no other test
    rng = np.random.default_rng(0)
    fit = EnsembleFit(config, rng.normal(size=(200, 3)), rng.normal(size=(200, 2)), jax.random.key(0))
    state, _ = fit.epoch(fit.init())
    first = len(traced)
    for _ in range(2):
        state, _ = fit.epoch(state)
    assert 0 < len(traced) == first


def test_each_epoch_has_its_own_order(system):
    s, a, r, s_next = system
    fit = EnsembleFit(SMALL, *forward_data(s, a, r, s_next), jax.random.key(0))
    first, again, later = (
        fit.epoch(dataclasses.replace(fit.init(), epoch=jnp.int32(i)))[0] for i in (0, 0, 1)
    )
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    kernels = [state.params["layers"][0]["kernel"] for state in (first, later)]
    assert not np.array_equal(*kernels)


def test_an_epoch_sees_a_bootstrap_of_the_rows_but_for_what_fills_no_batch():
    config = dataclasses.replace(SMALL, batch_size=32)
    fit = EnsembleFit(config, np.zeros((500, 1)), np.zeros((500, 1)), jax.random.key(0))
    orders = [fit.batches(epoch, member) for epoch in range(2) for member in range(2)]
    assert all(order.shape == (12, 32) and order.min() >= 0 and order.max() < 400 for order in orders)
    counts = [np.bincount(order.ravel(), minlength=400) for order in orders]
    between = [np.abs(counts[i] - counts[j]).sum() for i, j in ((0, 2), (1, 3), (0, 1))]
    assert max(between[:2]) <= 2 * 16  # the same sample but for the 16 left out
    assert between[2] > 200
    assert (orders[0] != orders[2]).any()


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


@pytest.mark.parametrize("bound", ["max_epochs", "max_updates"])
def test_the_step_size_falls_to_zero(system, bound):
    """A step of Adam is at most about the step size: the last epoch moves far less than the first."""
    data = forward_data(*system)
    updates = len(EnsembleFit(SMALL, *data, jax.random.key(0)).batches(0, 0))
    limit = {"max_epochs": 4, "max_updates": 3 * updates + 1}[bound]
    config = dataclasses.replace(SMALL, learning_rate_decay=True, **{bound: limit})
    fit = EnsembleFit(config, *data, jax.random.key(0))
    state, moved = fit.init(), []
    while not fit.finished(state):
        before = np.array(state.params["layers"][1]["kernel"])
        state, _ = fit.epoch(state)
        moved.append(np.abs(np.asarray(state.params["layers"][1]["kernel"]) - before).mean())
    assert len(moved) == 4
    assert fit.progress(state) == (4, 4)
    assert 0.03 * moved[0] < moved[3] < 0.3 * moved[0]  # small, yet not over before the last epoch


def test_fit_stops_when_nothing_improves():
    rng = np.random.default_rng(0)
    config = dataclasses.replace(SMALL, max_epochs=60, patience=2)
    fit = EnsembleFit(config, rng.normal(size=(400, 3)), rng.normal(size=(400, 1)), jax.random.key(0))
    state = train(fit)
    assert int(state.epoch) < 60
    assert int(state.stale_epochs) == 2


@pytest.mark.parametrize(
    ("rows", "epochs"), [(320, 100), (25_600, 100), (100_000, 26), (200_000, 13), (1_000_000, 3)]
)
def test_a_fit_has_as_many_updates_whatever_the_size_of_the_data(rows, epochs):
    assert EnsembleConfig().epochs(rows // 256) == epochs


def test_the_default_finds_a_linear_system(system):
    config = EnsembleConfig(
        members=3, elites=2, hidden=(32, 32), weight_decay=(0.0, 0.0, 0.0), batch_size=64, max_updates=1000
    )
    fit = EnsembleFit(config, *forward_data(*system), jax.random.key(0))
    model = ForwardModel(fit.result(train(fit)))
    s, a = (jnp.asarray(x) for x in (system[0][:200], system[1][:200]))
    s_next, r = model.mean_step(s, a)
    np.testing.assert_allclose(s_next, s @ TRANSITION.T + a @ CONTROL.T, atol=0.1)
    np.testing.assert_allclose(r, s[:, 0], atol=0.1)


def test_published_models_are_fitted_until_no_member_improves():
    published = {
        "learning_rate": 1e-3,
        "learning_rate_decay": False,
        "batch_size": 256,
        "patience": 5,
        "min_improvement": 0.01,
        "restart_from_best": True,
        "max_updates": None,
        "standardize_targets": False,
        "variance_exponent": 0.0,
    }
    assert published.items() <= dataclasses.asdict(ENSEMBLES["published"]).items()


@pytest.mark.parametrize(("max_updates", "epochs"), [(1, 1), (5, 1), (6, 2), (1000, 15)])
def test_the_epoch_that_reaches_max_updates_is_the_last(max_updates, epochs):
    """Of 400 rows 320 are trained on, in five batches of 64; SMALL has at most 15 epochs."""
    rng = np.random.default_rng(0)
    config = dataclasses.replace(SMALL, max_updates=max_updates, patience=1000)
    fit = EnsembleFit(config, rng.normal(size=(400, 3)), rng.normal(size=(400, 1)), jax.random.key(0))
    assert int(train(fit).epoch) == epochs


def test_one_member_that_improves_is_enough_to_go_on():
    fit = EnsembleFit(SMALL, np.zeros((50, 1)), np.zeros((50, 1)), jax.random.key(0))
    state = dataclasses.replace(fit.init(), best_error=jnp.ones(3), stale_epochs=jnp.int32(4))
    error = jnp.array([1.0, 0.5, 2.0])
    after = _keep_best(SMALL, state, jax.tree.map(jnp.copy, state.params), state.optimizer, error)
    np.testing.assert_array_equal(after.best_error, [1.0, 0.5, 1.0])
    assert int(after.stale_epochs) == 0


@pytest.mark.parametrize("restart", [False, True])
def test_epochs_begin_with_the_best_parameters_only_on_request(restart):
    """Targets are noise: epochs soon stop improving."""
    rng = np.random.default_rng(0)
    config = dataclasses.replace(SMALL, max_epochs=60, patience=2, restart_from_best=restart)
    fit = EnsembleFit(config, rng.normal(size=(400, 3)), rng.normal(size=(400, 1)), jax.random.key(0))
    state, kept = fit.init(), []
    while not fit.finished(state):
        state, _ = fit.epoch(state)
        present, saved = (jax.tree.leaves(params) for params in (state.params, state.best_params))
        kept.append(all((a == b).all() for a, b in zip(present, saved, strict=True)))
    assert int(state.stale_epochs) == 2
    assert all(kept) == restart
    assert kept[-2:] == [restart, restart]


def test_a_restart_undoes_the_members_that_did_not_improve_and_leaves_adam_alone():
    config = dataclasses.replace(SMALL, restart_from_best=True)
    fit = EnsembleFit(config, np.zeros((50, 1)), np.zeros((50, 1)), jax.random.key(0))
    before = dataclasses.replace(fit.init(), best_error=jnp.ones(3))
    old = np.array(before.best_params["layers"][0]["kernel"])
    moved, optimizer = (jax.tree.map(lambda x: x + 1, tree) for tree in (before.params, before.optimizer))
    new = np.array(moved["layers"][0]["kernel"])
    after = _keep_best(config, before, moved, optimizer, jnp.array([1.0, 0.5, 2.0]))
    np.testing.assert_array_equal(after.params["layers"][0]["kernel"], [old[0], new[1], old[2]])
    jax.tree.map(np.testing.assert_array_equal, after.optimizer, optimizer)


def test_a_falling_step_size_falls_to_the_end():
    rng = np.random.default_rng(0)
    config = dataclasses.replace(SMALL, max_epochs=20, patience=1, learning_rate_decay=True)
    fit = EnsembleFit(config, rng.normal(size=(400, 3)), rng.normal(size=(400, 1)), jax.random.key(0))
    assert int(train(fit).epoch) == 20


def test_the_variance_exponent_reaches_the_fit(system):
    inputs, targets = forward_data(*system)
    losses = []
    for exponent in (0.0, 0.5):
        config = dataclasses.replace(SMALL, members=1, elites=1, variance_exponent=exponent)
        fit = EnsembleFit(config, inputs, targets, jax.random.key(0))
        losses.append(fit.epoch(fit.init())[1]["loss"])
    assert losses[0] != losses[1]


def test_holdout_is_kept_out_of_training():
    x = np.arange(500, dtype=np.float32)[:, None]
    fit = EnsembleFit(SMALL, x, x, jax.random.key(0))
    mean, std = fit.input_moments
    train_rows = np.asarray(fit.train_data[0] * std + mean).round().astype(int)[:, 0]
    held_out = held_out_rows(SMALL, 500)
    assert len(held_out) == len(fit.holdout_data[0]) == 100
    assert set(train_rows) | set(held_out.tolist()) == set(range(500))
    assert not set(train_rows) & set(held_out.tolist())


def test_a_template_has_the_structure_of_a_fitted_ensemble():
    x, y = np.zeros((50, 3), np.float32), np.zeros((50, 2), np.float32)
    fit = EnsembleFit(SMALL, x, y, jax.random.key(0))
    fitted = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), fit.result(fit.init()))
    assert ensemble_template(SMALL, 3, 2) == fitted


def test_members_train_on_different_bootstraps_of_the_training_rows():
    """A linear member without noise of its own settles at the mean of its bootstrap, which we can compute."""
    targets = np.random.default_rng(0).normal(size=(100, 1)).astype(np.float32)
    config = dataclasses.replace(
        SMALL, elites=3, hidden=(), weight_decay=(0.0,), learning_rate=1e-2, batch_size=80
    )
    fit = EnsembleFit(config, np.zeros((100, 1)), targets, jax.random.key(0))
    state = fit.init()
    for _ in range(400):
        state, _ = fit.epoch(state)
    learned = np.asarray(state.params["layers"][0]["bias"])[:, 0]
    train = np.asarray(fit.train_data[1])[:, 0]
    rows = [fit.batches(0, i)[0] for i in range(3)]
    np.testing.assert_allclose(learned, [train[r].mean() for r in rows], atol=0.02)
    assert np.ptp(learned) > 0.06
    assert 0.5 < len(np.unique(rows[0])) / 80 < 0.75  # 1 - 1/e of the rows are expected


def test_targets_are_fitted_raw_or_with_unit_variance():
    rng = np.random.default_rng(0)
    inputs = rng.normal(3, 5, (300, 3)).astype(np.float32)
    targets = (100 + 7 * rng.normal(size=(300, 2))).astype(np.float32)
    for standardize in (False, True):
        config = dataclasses.replace(SMALL, standardize_targets=standardize)
        fit = EnsembleFit(config, inputs, targets, jax.random.key(0))
        rows = np.delete(targets.astype(np.float64), held_out_rows(config, 300), axis=0)
        mean, std = (rows.mean(axis=0), rows.std(axis=0)) if standardize else (0, 1)
        np.testing.assert_allclose(fit.train_data[1], (rows - mean) / std, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.asarray(fit.train_data[0]).std(axis=0), 1, rtol=1e-4)
        predicted, _ = fit.result(fit.init()).distribution(jnp.asarray(inputs[:9]))
        params = jax.tree.map(lambda x: x[0], fit.result(fit.init()).params)
        scaled, _ = predict(params, (inputs[:9] - fit.input_moments[0]) / fit.input_moments[1])
        np.testing.assert_allclose(predicted[0], mean + std * scaled, rtol=1e-4, atol=1e-4)


def test_the_mean_is_that_of_the_members_distributions(system):
    s, a, r, s_next = system
    fit = EnsembleFit(
        dataclasses.replace(SMALL, max_epochs=1), *forward_data(s, a, r, s_next), jax.random.key(0)
    )
    ensemble, inputs = fit.result(train(fit)), jnp.asarray(np.concatenate([s, a], axis=1)[:50])
    assert ensemble.size > 1
    means = np.asarray(ensemble.distribution(inputs)[0], np.float64)
    np.testing.assert_allclose(ensemble.means(inputs), means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ensemble.mean(inputs), means.mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("standardize", [True, False])
def test_constant_targets_are_predicted_exactly(system, standardize):
    s, a, _, s_next = system
    config = dataclasses.replace(SMALL, max_epochs=2, standardize_targets=standardize)
    fit = EnsembleFit(config, *forward_data(s, a, np.full(len(s), 0.3), s_next), jax.random.key(0))
    model = ForwardModel(fit.result(train(fit)))
    inputs = jnp.asarray(np.concatenate([s, a], axis=1)[:50])
    drawn = model.ensemble.sample(inputs, jax.random.key(1))
    np.testing.assert_array_equal(drawn[:, -1], np.full(50, 0.3, np.float32))
    assert np.isfinite(drawn).all()


def test_a_diverged_fit_is_an_error(system):
    s, a, r, s_next = system
    config = dataclasses.replace(SMALL, learning_rate=1e3)
    with pytest.raises(ValueError, match="Lower learning_rate"):
        train(EnsembleFit(config, *forward_data(s, a, r, s_next), jax.random.key(0)))


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (np.zeros((5, 2)), np.zeros((4, 1)), "5 rows and targets 4"),
        (np.zeros(5), np.zeros((5, 1)), "inputs must have the shape"),
        (np.full((5, 2), np.nan), np.zeros((5, 1)), "row 0"),
        (np.zeros((1, 2)), np.zeros((1, 1)), "at least 2"),
    ],
)
def test_bad_arrays_are_refused(inputs, targets, words):
    with pytest.raises(ValueError, match=words):
        EnsembleFit(SMALL, inputs, targets, jax.random.key(0))


def constant_ensemble(values):
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
    draws = jax.jit(jax.vmap(lambda key: ensemble.sample(jnp.zeros((7, 3)), key)))(keys)
    chosen = np.rint(np.asarray(draws[..., 0])).astype(int)
    np.testing.assert_allclose(draws[..., 1], -chosen, atol=1e-3)
    counts = np.stack([(chosen == v).sum(0) for v in range(1, 6)])
    assert counts.shape == (5, 7)
    assert (np.abs(counts - 80) < 5 * np.sqrt(80)).all()


def test_a_sample_of_the_forward_model_is_a_state_and_a_reward():
    state = jnp.arange(4.0)[:, None]
    sample = ForwardModel(constant_ensemble([0.5])).sample(state, jnp.ones((4, 2)), jax.random.key(0))
    np.testing.assert_allclose(sample[0], state + 0.5, atol=1e-4)
    np.testing.assert_allclose(sample[1], np.full(4, -0.5), atol=1e-4)


def test_samples_have_the_spread_that_is_predicted():
    """Of its own for each row and output."""
    params = {
        "layers": [{"kernel": jnp.zeros((1, 3, 4)), "bias": jnp.array([[1.0, -1.0, 0.0, -2.0]])}],
        "min_log_variance": jnp.full((1, 2), -20.0),
        "max_log_variance": jnp.full((1, 2), 20.0),
    }
    ensemble = Ensemble(params, jnp.zeros(3), jnp.ones(3), jnp.zeros(2), jnp.array([1.0, 3.0]))
    draws = ensemble.sample(jnp.zeros((20_000, 3)), jax.random.key(0))
    np.testing.assert_allclose(draws.mean(axis=0), [1, -3], atol=0.05)
    np.testing.assert_allclose(draws.std(axis=0), [1, 3 * np.exp(-1)], rtol=0.03)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.05


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
    assert len(np.unique(directions_used[0])) > 8  # of at most 20, some of which are clipped to the bounds
    noisy = reverse_rollouts(model, starts, directions, jax.random.key(0), 4, 0.5, 0.1)[1].reshape(4, 50)
    assert 0.07 < (noisy - noisy.mean(0)).std() * np.sqrt(4 / 3) < 0.13


def test_chunks_of_rollouts_do_not_lose_rows(monkeypatch):
    monkeypatch.setattr("cocoa.dynamics.reverse._STARTS_AT_ONCE", 16)
    model = ReverseModel(constant_ensemble([0.5]))
    starts = np.arange(80, dtype=np.float32).reshape(40, 2)
    states, actions = reverse_rollouts(model, starts, np.zeros((3, 1)), jax.random.key(0), 1, 1.0, 0.1)
    np.testing.assert_allclose(states, starts + np.array([0.5, -0.5]), atol=1e-3)
    assert len(np.unique(actions)) == 40  # each chunk has noise of its own


def linear_model(change, std=1.0):
    """A reverse model with s = s' + [s', a] @ change and next to no noise: 2 states, 1 action."""
    params = {
        "layers": [{"kernel": jnp.hstack([change, jnp.zeros((3, 2))])[None], "bias": jnp.zeros((1, 4))}],
        "min_log_variance": jnp.full((1, 2), -40.0),
        "max_log_variance": jnp.full((1, 2), -30.0),
    }
    return ReverseModel(Ensemble(params, jnp.zeros(3), jnp.ones(3), jnp.zeros(2), jnp.full(2, std)))


def test_rollouts_of_a_linear_model_equal_their_recursion():
    """Each recorded state follows from the one before it and from the very action recorded with it."""
    rng = np.random.default_rng(0)
    change = rng.normal(size=(3, 2)).astype(np.float32) / 2
    starts = rng.normal(size=(37, 2)).astype(np.float32)
    directions = rng.uniform(-1, 1, (20, 1)).astype(np.float32)
    recorded = reverse_rollouts(linear_model(change), starts, directions, jax.random.key(0), 4, 0.8, 0.3)
    states, actions = (x.reshape(4, 37, -1) for x in recorded)
    assert np.abs(actions).max() <= 1
    before = starts
    for state, action in zip(states, actions, strict=True):
        before = before + np.concatenate([before, action], axis=1) @ change
        np.testing.assert_allclose(state, before, atol=1e-4)


@pytest.mark.parametrize(
    ("starts", "directions", "words"),
    [
        (np.zeros((0, 2)), np.zeros((3, 1)), "starts .* at least one row"),
        (np.zeros(4), np.zeros((3, 1)), "starts must have the shape"),
        (np.zeros((4, 2)), np.zeros((0, 1)), "direction_actions .* at least one row"),
        (np.zeros((4, 2)), np.zeros((3, 2)), "direction_actions must have the shape"),
        (np.array([[0, 0], [0, np.nan]]), np.zeros((3, 1)), "starts are not finite in row 1"),
    ],
)
def test_rollouts_refuse_bad_arrays(starts, directions, words):
    with pytest.raises(ValueError, match=words):
        reverse_rollouts(linear_model(jnp.zeros((3, 2))), starts, directions, jax.random.key(0), 2, 1.0, 0.1)


@jax.jit
def predictions(models, s, a, key):
    forward, reverse = models
    means = forward.mean_step(s, a), reverse.mean_step(s, a)
    return *means, jnp.moveaxis(forward.means(s, a), 0, -2), reverse.step(s, a, key)


def test_models_of_several_seeds_can_be_stacked(models, system):
    s, a = jnp.asarray(system[0][:12]), jnp.asarray(system[1][:12])
    seeds = models, jax.tree.map(lambda x: 1.01 * x, models)
    keys = jax.random.split(jax.random.key(0), 2)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *seeds)
    together = jax.jit(jax.vmap(predictions, (0, None, None, 0)))(stacked, s, a, keys)
    alone = [predictions(model, s, a, key) for model, key in zip(seeds, keys, strict=True)]
    expected = jax.tree.map(lambda *x: jnp.stack(x), *alone)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4), together, expected)


@pytest.mark.parametrize("axes", [(), (12,), (3, 4)])
def test_models_take_any_leading_axes(models, system, axes):
    count = int(np.prod(axes))
    s, a = jnp.asarray(system[0][:count]), jnp.asarray(system[1][:count])
    flat = predictions(models, s, a, jax.random.key(0))
    shaped = predictions(models, s.reshape(*axes, 2), a.reshape(*axes, 1), jax.random.key(0))
    for x, y in zip(jax.tree.leaves(shaped), jax.tree.leaves(flat), strict=True):
        assert x.shape == (*axes, *y.shape[1:])
        np.testing.assert_allclose(x.reshape(y.shape), y, atol=1e-5)
