"""Critics that are written out and critics that are batched: the same functions of the same parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle
from support.ingredients import make_batch, make_networks, with_next_actions

from cocoa.algos import REGISTRY
from cocoa.algos.networks import Adam, Model, heads

KEY = jax.random.key(2)
COUNTS = (1, 2, heads.WRITTEN_OUT, heads.WRITTEN_OUT + 1, 10)
WITH_CRITICS = [name for name, cls in sorted(REGISTRY.items()) if hasattr(cls, "critics")]


def make_critics(count, with_cocoa, layer_norm=False):
    batch = make_batch(with_cocoa, size=8)
    module = make_networks(with_cocoa).critics(count, layer_norm)
    return Model.create(module, Adam(1e-3), KEY, batch.observation, batch.action), batch


def batched(params):
    """The parameters of critics that are written out, as those of batched ones."""
    return {
        "Values": jax.tree.map(lambda *x: np.stack(x), *(params[f"Value_{i}"] for i in range(len(params))))
    }


@pytest.mark.parametrize("count", COUNTS)
def test_values_equal_their_derivation(count, with_cocoa):
    critics, batch = make_critics(count, with_cocoa, layer_norm=True)
    assert ("Values" in critics.params) == (count > heads.WRITTEN_OUT)
    inputs = critics.params, batch.observation, batch.action
    found = jax.jit(critics.__call__)(*inputs[1:])
    assert found.shape == (count, 8)
    expected = oracle.critics(*(oracle.to_numpy(x) for x in inputs))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_batched_critics_have_the_values_and_gradients_of_written_ones(layer_norm, with_cocoa, monkeypatch):
    written, batch = make_critics(4, with_cocoa, layer_norm)
    monkeypatch.setattr(heads, "WRITTEN_OUT", 0)
    other, _ = make_critics(4, with_cocoa, layer_norm)
    params = batched(written.params)
    assert jax.tree.map(jnp.shape, other.params) == jax.tree.map(jnp.shape, params)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8)), jnp.float32)

    def weighted(model):
        return lambda params, action: jnp.sum(weights * model(batch.observation, action, params=params))

    inputs = batch.observation, batch.action
    values = jax.jit(lambda params: other(*inputs, params=params))(params)
    monkeypatch.setattr(heads, "WRITTEN_OUT", 4)
    np.testing.assert_allclose(values, jax.jit(lambda: written(*inputs))(), rtol=1e-5, atol=1e-5)
    of_written = jax.jit(jax.grad(weighted(written), (0, 1)))(written.params, batch.action)
    monkeypatch.setattr(heads, "WRITTEN_OUT", 0)
    of_batched = jax.jit(jax.grad(weighted(other), (0, 1)))(params, batch.action)
    expected = batched(of_written[0]), of_written[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), of_batched, expected)


@pytest.mark.parametrize("count", [1, 3])
def test_critics_evaluated_together_have_the_values_and_gradients_of_separate_ones(
    count, with_cocoa, monkeypatch
):
    """On an accelerator one product for each layer serves all critics, and both factors of the encoder."""
    critics, batch = make_critics(count, with_cocoa, layer_norm=True)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(count, 8)), jnp.float32)

    def weighted(params, action):
        return jnp.sum(weights * critics(batch.observation, action, params=params))

    def results():
        subset = jax.vmap(lambda i: critics.module.single(critics.params, i)(batch.observation, batch.action))
        program = jax.jit(lambda *x: (jax.value_and_grad(weighted, (0, 1))(*x), subset(jnp.arange(count))))
        return program(critics.params, batch.action)

    def products():
        traced = jax.make_jaxpr(lambda *inputs: weighted(*inputs))(critics.params, batch.action)  # not cached
        return str(traced).count("dot_general")

    separate, written = results(), products()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), results(), separate)
    again = make_critics(count, with_cocoa, layer_norm=True)[0].params
    jax.tree.map(np.testing.assert_array_equal, again, critics.params)
    layers = 4 if with_cocoa else 3  # of the encoder's factors 2, of the MLP 1 or 2, and the output
    assert products() == layers < written


@pytest.mark.parametrize("count", [3, 7])
def test_one_critic_alone_is_that_one_among_all(count, with_cocoa):
    critics, batch = make_critics(count, with_cocoa)
    values, module = critics(batch.observation, batch.action), critics.module
    subset = jnp.array([2, 0])
    alone = [module.single(critics.params, i)(batch.observation, batch.action) for i in range(count)]
    traced = jax.vmap(lambda i: module.single(critics.params, i)(batch.observation, batch.action))(subset)
    np.testing.assert_allclose(jnp.stack(alone), values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(traced, values[subset], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [3, 7])
def test_a_critic_alone_does_not_touch_the_parameters_of_others(count, with_cocoa):
    critics, batch = make_critics(count, with_cocoa)

    def value(params):
        return critics.module.single(params, 1)(batch.observation, batch.action).sum()

    gradient = jax.device_get(jax.jit(jax.grad(value))(critics.params))
    others = [i for i in range(count) if i != 1]
    if count > heads.WRITTEN_OUT:
        touched = jax.tree.map(lambda x: bool((x[others] != 0).any()), gradient["Values"])
    else:
        touched = jax.tree.map(lambda x: bool((x != 0).any()), [gradient[f"Value_{i}"] for i in others])
    assert not any(jax.tree.leaves(touched))
    assert any(bool((x != 0).any()) for x in jax.tree.leaves(gradient))


@pytest.mark.parametrize("count", [3, 7])
def test_each_critics_slope_equals_differences_of_the_derivation(count, with_cocoa):
    critics, batch = make_critics(count, with_cocoa)

    def slope(critic):
        return jax.grad(lambda action: critic(batch.observation, action).sum())(batch.action)

    slopes = np.asarray(critics.module.each(critics.params, slope), np.float64)
    direction = np.random.default_rng(0).normal(size=batch.action.shape)
    ends = [
        oracle.critics(
            oracle.to_numpy(critics.params),
            oracle.to_numpy(batch.observation),
            oracle.to_numpy(batch.action) + step * direction,
        )
        for step in (1e-6, -1e-6)
    ]
    assert slopes.shape == (count, *batch.action.shape)
    np.testing.assert_allclose((slopes * direction).sum(-1), (ends[0] - ends[1]) / 2e-6, rtol=1e-2, atol=1e-3)


def test_batched_critics_start_independently_and_from_their_key():
    critics, batch = make_critics(10, False)
    again, _ = make_critics(10, False)
    jax.tree.map(np.testing.assert_array_equal, critics.params, again.params)
    other = critics.module.init(jax.random.key(3), batch.observation, batch.action)["params"]
    kernels, others = (p["Values"]["MLP_0"]["Dense_0"]["kernel"] for p in (critics.params, other))
    assert (kernels != others).mean() > 0.99
    correlation = np.corrcoef(np.asarray(kernels).reshape(10, -1))
    assert np.abs(correlation - np.eye(10)).max() < 0.6
    for kernel in np.asarray(kernels, np.float64):  # the shape (5, 16)
        np.testing.assert_allclose(kernel @ kernel.T, 2 * np.eye(5), atol=1e-5)


@pytest.mark.parametrize("name", WITH_CRITICS)
def test_the_number_of_critics_is_a_field(name):
    with pytest.raises(ValueError, match="critics=0 must be at least 1"):
        REGISTRY[name](critics=0)
    state = jax.eval_shape(
        lambda key: REGISTRY[name](critics=6).init(key, make_networks(False), make_batch(False), 100), KEY
    )
    counts = {len(leaf) if leaf.ndim else 0 for leaf in jax.tree.leaves(state.critics.params)}
    assert counts == {6}
    assert jax.tree.map(jnp.shape, state.target_critics) == jax.tree.map(jnp.shape, state.critics.params)


@pytest.mark.parametrize("name", [name for name in WITH_CRITICS if not REGISTRY[name].members])
def test_the_critic_loss_moves_nothing_but_the_critics(name):
    """Those whose batches hold imagined transitions: see test_model_based.py."""
    algorithm, batch = REGISTRY[name](), with_next_actions(make_batch(False))
    state = algorithm.init(KEY, make_networks(False), batch, 100)

    def loss(state, next_observation):
        moved = batch.replace(next_observation=next_observation)
        return algorithm.critic_loss(params, state, moved, KEY)[0]

    params = state.critics.params
    gradient = jax.jit(jax.grad(loss, (0, 1), allow_int=True))(state, batch.next_observation)
    leaves = [leaf for leaf in jax.tree.leaves(gradient) if leaf.dtype == jnp.float32]
    assert leaves
    assert all((leaf == 0).all() for leaf in leaves)
