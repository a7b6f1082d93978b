"""A training loop of your own, from the data, the networks and the pure functions of an algorithm."""

import sys

import jax

import cocoa

updates = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
algorithm = cocoa.IQL(hidden=(64, 64))
pieces = cocoa.pieces(algorithm, "hopper-demo")  # a third argument "nearest" or True: with cocoa
key = jax.random.key(0)
state = algorithm.init(key, pieces.networks, pieces.data, updates)


@jax.jit
def train(state, data, key):
    """Return the state after 500 updates, and the mean of each metric."""

    def step(state, key):
        rows_key, update_key = jax.random.split(key)
        return algorithm.update(state, cocoa.sample(data, rows_key, 256), update_key)

    state, metrics = cocoa.scan(step, state, jax.random.split(key, 500))
    return state, jax.tree.map(lambda values: values.mean(), metrics)


for update in range(0, updates, 500):  # whole rounds of 500
    state, metrics = train(state, pieces.data, jax.random.fold_in(key, update))
    print(f"update {update + 500}:", {name: round(float(value), 2) for name, value in metrics.items()})
states = cocoa.load("hopper-demo").observations[:2]
actions = algorithm.act(state, pieces.observe(states), key if algorithm.sampled else None)
print("actions:", pieces.scaling.to_environment(actions))
