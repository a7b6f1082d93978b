"""The PyTorch that ours is measured against computes the same: parameters after a few equal updates."""

import jax
import numpy as np
import pytest
from support.ingredients import ACTION_DIM, OBSERVATION_DIM, make_batch, make_networks, scatter

from cocoa.algos.cql import CQL
from cocoa.algos.edac import EDAC
from cocoa.algos.iql import IQL
from cocoa.algos.td3_bc import TD3BC

torch = pytest.importorskip("torch", reason="pip install -e '.[bench]'")
from benchmarks import pytorch, pytorch_networks  # noqa: E402

UPDATES = 6


def mlp(params):
    """A network's parameters in PyTorch's order."""
    hidden = params["MLP_0"]
    layers = [*(hidden[name] for name in sorted(hidden)), params["Dense_0"]]
    return [array for layer in layers for array in (layer["kernel"].T, layer["bias"])]


def critics(params):
    return mlp(params["Value_0"]) + mlp(params["Value_1"])


def ensemble(params):
    """Batched critics: weights (N, inputs, outputs) and biases (N, 1, outputs)."""
    values = params["Values"]
    layers = [*(values["MLP_0"][name] for name in sorted(values["MLP_0"])), values["Dense_0"]]
    return [array for layer in layers for array in (layer["kernel"], layer["bias"][:, None])]


def gaussian(params):
    return [params["log_std"], *mlp(params)]


LAYOUT = {
    IQL: {"actor": gaussian, "critics": critics, "value": mlp, "target_critics": critics},
    TD3BC: {"actor": mlp, "critics": critics, "target_actor": mlp, "target_critics": critics},
    CQL: {"actor": mlp, "critics": critics, "target_critics": critics},
    EDAC: {"actor": mlp, "critics": ensemble, "target_critics": ensemble},
}


def parameters(state, layout):
    found = {name: getattr(state, name) for name in layout}
    trees = {name: getattr(one, "params", one) for name, one in found.items()}
    return {name: layout[name](jax.tree.map(np.asarray, tree)) for name, tree in trees.items()}


def noise(algorithm, key, shape):
    """The random numbers that our update draws from its key."""
    if isinstance(algorithm, IQL):
        return ()
    if isinstance(algorithm, TD3BC):
        return (jax.random.normal(key, shape),)
    critic_key, actor_key = jax.random.split(key)
    if isinstance(algorithm, EDAC):
        return jax.random.normal(critic_key, shape), jax.random.normal(actor_key, shape)
    target_key, gap_key = jax.random.split(critic_key)
    uniform_key, now_key, then_key = jax.random.split(gap_key, 3)
    many = (algorithm.samples, *shape)
    return (
        jax.random.normal(target_key, shape),
        jax.random.uniform(uniform_key, many, minval=-1.0, maxval=1.0),
        jax.random.normal(now_key, many),
        jax.random.normal(then_key, many),
        jax.random.normal(actor_key, shape),
    )


def tensors(tree):
    return jax.tree.map(lambda x: torch.from_numpy(np.array(x)), tree)


FAST = {"actor_learning_rate": 0.003, "critic_learning_rate": 0.003, "target_rate": 0.1}


@pytest.mark.parametrize(
    "algorithm",
    [
        IQL(hidden=(16, 16), learning_rate=0.003, target_rate=0.1),
        TD3BC(hidden=(16, 16), **FAST),
        CQL(hidden=(16, 16), samples=3, **FAST),
        EDAC(hidden=(16, 16), critics=6, diversity_weight=0.0, **FAST),
        EDAC(hidden=(16, 16), critics=6, diversity_weight=5.0, **FAST),
    ],
    ids=["iql", "td3_bc", "cql", "sac_n", "edac"],
)
def test_equal_updates_give_equal_parameters(algorithm):
    layout = LAYOUT[type(algorithm)]
    targets = [name for name in layout if name.startswith("target")]
    state = algorithm.init(jax.random.key(0), make_networks(False), make_batch(False), 100)
    state = scatter(state, [name for name in layout if name not in targets], targets)
    learner = pytorch.IN_PYTORCH[type(algorithm)](algorithm, OBSERVATION_DIM, ACTION_DIM, 100)
    start = parameters(state, layout)
    with torch.no_grad():
        for name, arrays in start.items():
            for parameter, array in zip(getattr(learner, name).parameters(), arrays, strict=True):
                parameter.copy_(torch.from_numpy(np.array(array)))
    update = jax.jit(algorithm.update)
    for step in range(UPDATES):
        batch, key = make_batch(False, seed=step), jax.random.key(step)
        drawn = noise(algorithm, key, batch.action.shape)
        learner.update(pytorch_networks.Batch(**tensors(vars(batch))), *tensors(drawn))
        state, _ = update(state, batch, key)
    for name, arrays in parameters(state, layout).items():
        moved = max(np.abs(new - old).max() for new, old in zip(arrays, start[name], strict=True))
        assert moved > 0.005
        for parameter, array in zip(getattr(learner, name).parameters(), arrays, strict=True):
            np.testing.assert_allclose(parameter.detach(), array, atol=1e-4, err_msg=name)
    if hasattr(state, "log_alpha"):
        expected = state.log_alpha.params["value"]
        np.testing.assert_allclose(learner.log_alpha.detach(), expected, atol=1e-4)
        assert abs(expected) > 0.005
