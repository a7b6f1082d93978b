"""Run a policy that `policy.export("policy.stablehlo")` wrote, with JAX and its reader of files alone.

pip install jax flatbuffers
python run_stablehlo.py policy.stablehlo
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax import export

if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
    sys.exit("Name the exported file: python run_stablehlo.py policy.stablehlo")
path = Path(sys.argv[1])
about = json.loads(path.with_name(f"{path.name}.json").read_text())
policy = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)

# Rows of float32, in the environment's units; a single observation is a batch of one.
observations = np.random.default_rng(0).normal(size=(3, int(about["observation_dim"]))).astype(np.float32)
draw = [0] if "draw" in about["inputs"] else []  # a policy with noise: count this up with each step
print(f"{about['algorithm']} on {about['dataset']}, seed {about['seed']}, {about['updates']} updates")
print("three actions:", np.asarray(policy(observations, *draw)).round(4).tolist())
print("the first of them:", np.asarray(policy(observations[:1], *draw))[0].round(4).tolist())
