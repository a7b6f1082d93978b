"""Play an episode with a policy that `policy.export("policy.onnx")` wrote, without JAX.

pip install onnxruntime numpy "gymnasium[mujoco]"
python run_onnx.py policy.onnx
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np
import onnxruntime

if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
    sys.exit("Name the exported file: python run_onnx.py policy.onnx")
policy = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = policy.get_modelmeta().custom_metadata_map
env = gymnasium.make(about["environment"])
state, _ = env.reset(seed=0)
total, steps, done = 0.0, 0, False
while not done:
    observation = np.asarray(state, np.float32)[None]  # the model takes rows
    (actions,) = policy.run(["action"], {"observation": observation})
    state, reward, terminal, timeout, _ = env.step(actions[0])
    total, steps, done = total + float(reward), steps + 1, terminal or timeout
print(f"{about['algorithm']} on {about['dataset']}: {steps} steps in {env.spec.id}, return {total:.0f}")
