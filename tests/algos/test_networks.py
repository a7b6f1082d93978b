"""How networks are made: initial weights by NumPy, whatever the key is."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.ingredients import make_batch, make_networks
from threadpoolctl import threadpool_info

from cocoa.algos.networks import (
    MLP,
    Adam,
    Concatenate,
    Critics,
    GaussianPolicy,
    Model,
    drawn_on_host,
    normalization,
    orthogonal,
    packed,
    polyak,
    unpacked,
)
from cocoa.algos.networks.normalization import LayerNorm, normalize


@pytest.mark.parametrize("shape", [(5, 5), (17, 4), (4, 17), (6, 1), (1, 6)])
def test_weights_are_orthogonal_of_gain_root_two(shape):
    weights = np.asarray(orthogonal(jax.random.key(3), shape), np.float64)
    assert weights.shape == shape
    gram = weights.T @ weights if shape[0] >= shape[1] else weights @ weights.T
    np.testing.assert_allclose(gram, 2 * np.eye(min(shape)), atol=1e-5)


def test_weights_are_drawn_by_one_thread_of_blas(monkeypatch):
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before, inside, qr = threads(), [], np.linalg.qr
    monkeypatch.setattr(np.linalg, "qr", lambda matrix: inside.append(threads()) or qr(matrix))
    orthogonal(jax.random.key(0), (4, 2))
    assert inside == [{1}]
    assert threads() == before


def test_orthogonal_matrices_are_uniform():
    """Every entry of a uniform orthogonal matrix has mean 0, and its square the mean 1/n."""
    draws = np.stack([orthogonal(jax.random.key(seed), (3, 3)) for seed in range(2000)]) / 2**0.5
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose((draws**2).mean(axis=0), 1 / 3, atol=0.03)
    assert abs(np.linalg.det(draws).mean()) < 0.1


def test_a_compiled_draw_is_that_of_the_key():
    keys = jax.random.split(jax.random.key(0), 3)
    apart = [orthogonal(key, (4, 2)) for key in keys]
    np.testing.assert_array_equal(jax.jit(orthogonal, static_argnums=1)(keys[0], (4, 2)), apart[0])
    np.testing.assert_array_equal(jax.vmap(lambda key: orthogonal(key, (4, 2)))(keys), apart)
    assert not np.array_equal(apart[0], apart[1])


def test_a_draw_has_the_type_asked_for():
    ones = drawn_on_host(lambda rng, shape: np.ones(shape))
    assert ones(jax.random.key(0), (3,), jnp.bfloat16).dtype == jnp.bfloat16


def test_a_model_starts_with_what_flax_initialises():
    module, inputs = Critics(Concatenate, (8, 8)), (jnp.ones((1, 3)), jnp.ones((1, 2)))
    model = Model.create(module, Adam(1e-3), jax.random.key(1), *inputs)
    known = module.init(jax.random.key(1), *inputs)["params"]
    jax.tree.map(np.testing.assert_array_equal, model.params, known)


def test_deviations_of_a_policy_are_bounded():
    module, observation = GaussianPolicy(Concatenate, (8,), 3), jnp.ones((1, 2))
    params = module.init(jax.random.key(0), observation)["params"]
    params["log_std"] = jnp.array([-30.0, 0.5, 30.0])
    policy = module.apply({"params": params}, observation)
    np.testing.assert_array_equal(policy.log_std, [-5, 0.5, 2])


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_layer_norm_and_its_gradient_are_those_of_flax(backend, monkeypatch):
    """However sums are made: the gradient of flax's is derived automatically."""
    monkeypatch.setattr(normalization.jax, "default_backend", lambda: backend)
    rng = np.random.default_rng(0)
    x, weights = (jnp.asarray(rng.normal(3, 2, (4, 5, 7)), jnp.float32) for _ in range(2))
    params = {name: jnp.asarray(rng.normal(size=7), jnp.float32) for name in ("scale", "bias")}

    def weighted(module):
        return lambda params, x: jnp.sum(weights * module.apply({"params": params}, x))

    ours, known = (weighted(module()) for module in (LayerNorm, nn.LayerNorm))
    np.testing.assert_allclose(ours(params, x), known(params, x), rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        *(jax.grad(function, argnums=(0, 1))(params, x) for function in (ours, known)),
    )


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_layer_norm_has_the_gradients_of_its_formula(backend, monkeypatch):
    """Compared with differences of the formula in float64, along a random direction of each argument."""
    monkeypatch.setattr(normalization.jax, "default_backend", lambda: backend)
    rng = np.random.default_rng(2)
    x, weights, *directions = rng.normal(1, 2, (5, 6, 9))
    arguments = [x, rng.normal(size=9), rng.normal(size=9)]
    directions = [directions[0], directions[1][0], directions[2][0]]

    def formula(x, scale, bias):
        normal = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
        return np.sum(weights * (scale * normal + bias))

    def loss(*arguments):
        return jnp.sum(jnp.asarray(weights, jnp.float32) * normalize(*arguments))

    gradients = jax.grad(loss, argnums=(0, 1, 2))(*(jnp.asarray(value, jnp.float32) for value in arguments))
    for index, direction in enumerate(directions):
        there, back = (
            formula(*(v + sign * 1e-6 * direction * (i == index) for i, v in enumerate(arguments)))
            for sign in (1, -1)
        )
        slope = np.sum(np.asarray(gradients[index], np.float64) * direction)
        np.testing.assert_allclose(slope, (there - back) / 2e-6, rtol=1e-4, atol=1e-4)


def test_layer_norm_equals_its_formula():
    x, scale, bias = np.random.default_rng(1).normal(size=(3, 6, 9))
    expected = scale[0] * (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6) + bias[0]
    given = (jnp.asarray(value, jnp.float32) for value in (x, scale[0], bias[0]))
    np.testing.assert_allclose(normalize(*given), expected, atol=1e-5)
    constant = normalize(jnp.full((2, 9), 5.0), jnp.ones(9), jnp.zeros(9))
    np.testing.assert_allclose(constant, 0, atol=2e-3)


def test_dropout_leaves_out_its_share_of_units_and_scales_the_others():
    mlp = MLP((10_000,), bias_init=jax.nn.initializers.ones, dropout=0.25)
    variables = mlp.init(jax.random.key(0), jnp.ones((1, 3)))
    whole = mlp.apply(variables, jnp.ones((1, 3)))
    dropped = mlp.apply(variables, jnp.ones((1, 3)), rngs={"dropout": jax.random.key(1)})
    gone = (dropped == 0) & (whole > 0)
    assert abs(gone.mean() / (whole > 0).mean() - 0.25) < 0.02
    np.testing.assert_allclose(dropped[~gone], whole[~gone] / 0.75, rtol=1e-6)


def test_a_step_on_vectors_is_that_on_leaves(with_cocoa, monkeypatch):
    """On an accelerator Adam and averages move one vector for each network."""
    batch, module = make_batch(with_cocoa, size=8), make_networks(with_cocoa).critics()
    inputs = batch.observation, batch.action

    def loss(params, model):
        return jnp.mean((model(*inputs, params=params) - 1) ** 2), {}

    def update(state):
        model = state[0].minimize(loss, state[0])[0]
        return model, polyak(state[1], model.params, 0.1)

    model = Model.create(module, Adam(1e-2, 10), jax.random.key(0), *inputs)
    start = model, model.params
    on_leaves = update(update(start))
    assert jax.tree.structure(packed(start)) == jax.tree.structure(start)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    vectors = packed(start)
    size = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    assert sorted(leaf.size for leaf in jax.tree.leaves(vectors)) == [1, 1, *[size] * 4]
    for _ in range(2):
        vectors = packed(update(unpacked(vectors, start)))
    found = unpacked(vectors, start)
    assert jax.tree.structure(found) == jax.tree.structure(on_leaves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, on_leaves)
