"""Networks re-derived in NumPy float64 from their parameters, independent of JAX and flax."""

import jax
import numpy as np
import scipy.stats


def to_numpy(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def dense(params, x):
    return x @ params["kernel"] + params["bias"]


def layer_norm(params, x):
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6) * params["scale"] + params["bias"]


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    """x times the normal distribution function, as approximated with tanh."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def mlp(params, x, activation=relu):
    for i in range(sum(name.startswith("Dense") for name in params)):
        x = activation(dense(params[f"Dense_{i}"], x))
        if f"LayerNorm_{i}" in params:
            x = layer_norm(params[f"LayerNorm_{i}"], x)
    return x


def encode(params, observation, action):
    """The plain encoder, or the transductive one where its parameters are there."""
    parts = [observation] if isinstance(observation, np.ndarray) else [observation.delta, observation.anchor]
    if action is not None:
        parts = [np.concatenate([part, action], -1) for part in parts]
    if "TransductiveEncoder_0" not in params:
        return parts[0]
    encoder = params["TransductiveEncoder_0"]
    factors = []
    for name, part in zip(("difference", "anchor"), parts, strict=True):
        factor = encoder[name]
        factors.append(
            layer_norm(factor["LayerNorm_0"], dense(factor["Dense_0"], mlp(factor["MLP_0"], part)))
        )
    width = encoder["anchor"]["MLP_0"]["Dense_0"]["bias"].size
    return (factors[0] * factors[1]).reshape(len(parts[0]), -1, width).sum(1)


def value(params, observation, action=None, activation=relu):
    features = mlp(params["MLP_0"], encode(params, observation, action), activation)
    return dense(params["Dense_0"], features)[:, 0]


def critics(params, observation, action, activation=relu):
    """Values (count, B) of critics that are written out, or batched along the parameters' leading axis."""
    if "Values" in params:
        count = len(jax.tree.leaves(params)[0])
        each = [jax.tree.map(lambda x, i=i: x[i], params["Values"]) for i in range(count)]
    else:
        each = [params[f"Value_{i}"] for i in range(len(params))]
    return np.stack([value(critic, observation, action, activation) for critic in each])


def policy_mean(params, observation):
    return np.tanh(dense(params["Dense_0"], mlp(params["MLP_0"], encode(params, observation, None))))


def vector(params, observation, *inputs, activation=relu):
    """The velocity of a flow, or the action of noise: inputs (B, d_i) join the encoder's features."""
    features = np.concatenate([encode(params, observation, None), *inputs], axis=-1)
    return dense(params["Dense_0"], mlp(params["MLP_0"], features, activation))


def deterministic_action(params, observation):
    return policy_mean(params, observation)


def squashed_distribution(params, observation):
    features = mlp(params["MLP_0"], encode(params, observation, None))
    both = dense(params["Dense_0"], features)
    size = both.shape[-1] // 2
    return both[:, :size], np.clip(both[:, size:], -5, 2)


def level(params, values):
    """Shift critics, whose values are `values` (count, B), to the first one's mean: any can be lowest."""
    values = np.asarray(values)
    biases = -(values - values[:1]).mean(axis=1, keepdims=True)
    if "Values" in params:
        return {"Values": shifted(params["Values"], biases)}
    return {f"Value_{i}": shifted(params[f"Value_{i}"], bias) for i, bias in enumerate(biases)}


def shifted(value, bias):
    return {**value, "Dense_0": {**value["Dense_0"], "bias": np.asarray(value["Dense_0"]["bias"]) + bias}}


def lowest(values):
    """Return min_j (B,) of values (count, B); two must be the lowest somewhere, else min tells nothing."""
    shares = np.bincount(values.argmin(0), minlength=len(values)) / values.shape[1]
    assert np.sort(shares)[-2] > 0.1
    return values.min(0)


def assert_slope(loss, params, derived):
    """Compare the gradient along a random direction with a difference quotient of the derivation."""
    rng = np.random.default_rng(0)
    numbers = to_numpy(params)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), numbers)
    gradient = jax.jit(jax.grad(loss))(params)
    product = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.sum(np.asarray(g) * d), gradient, direction)))
    ends = [derived(jax.tree.map(lambda p, d, h=h: p + h * d, numbers, direction)) for h in (1e-6, -1e-6)]
    np.testing.assert_allclose(product, (ends[0] - ends[1]) / 2e-6, rtol=5e-3, atol=1e-3)


def log_density(action, mean, log_std):
    """Of tanh(u) with normal u, by the change of variables; imprecise near the bounds, where arctanh is."""
    return log_density_of_unsquashed(np.arctanh(action), mean, log_std)


def log_density_of_unsquashed(u, mean, log_std):
    """Log-density of tanh(u), given u: its derivative is 1 / cosh²(u)."""
    return np.sum(scipy.stats.norm.logpdf(u, mean, np.exp(log_std)) + 2 * np.log(np.cosh(u)), axis=-1)


def proposals(params, observations, key, samples):
    """CQL's actions (3 samples, B, A) and log-densities (3 samples, B): uniform, then in two observations."""
    keys = jax.random.split(key, 3)
    means, log_stds = zip(*(squashed_distribution(params, one) for one in observations), strict=True)
    shape = (samples, *means[0].shape)
    uniform = np.asarray(jax.random.uniform(keys[0], shape, minval=-1.0, maxval=1.0), np.float64)
    actions, densities = [uniform], [np.full(shape[:-1], -shape[-1] * np.log(2))]
    for mean, log_std, one in zip(means, log_stds, keys[1:], strict=True):
        u = mean + np.exp(log_std) * np.asarray(jax.random.normal(one, shape), np.float64)
        actions.append(np.tanh(u))
        densities.append(log_density_of_unsquashed(u, mean, log_std))
    return np.concatenate(actions), np.concatenate(densities)
