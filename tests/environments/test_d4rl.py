"""D4RL's environments for programs of the user's own."""

import subprocess
import sys

CODE = """
import gymnasium
env = gymnasium.make("cocoa.environments:D4RL/hopper-v2")
print(env.spec.id, env.observation_space.shape)
"""


def test_gymnasium_makes_them_by_the_name_of_the_module():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "D4RL/hopper-v2 (11,)\n"
