"""Train with one call, and use the policy in another process.

python fit_and_load.py
"""

import argparse
import subprocess
import sys

import cocoa

OTHER_PROCESS = """
import sys
import gymnasium
import cocoa

policy = cocoa.load_policy(sys.argv[1])
env = gymnasium.make("Hopper-v4")
observation, _ = env.reset(seed=0)
total, done = 0.0, False
while not done:
    observation, reward, terminal, timeout, _ = env.step(policy(observation))
    total, done = total + reward, terminal or timeout
score = cocoa.normalized_score("Hopper-v4", total)
print(f"An episode in another process returned {total:.0f}, a score of {score:.1f}")
"""


def main():
    """Train IQL with compositional conservatism and evaluate it elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=1000)
    arguments = parser.parse_args()
    policy = cocoa.fit(
        cocoa.IQL(hidden=(64, 64)),
        "hopper-demo",
        cocoa=cocoa.Nearest(candidates=32),
        updates=arguments.updates,
        log_every=arguments.updates // 2,
        eval_every=arguments.updates,
        eval_episodes=2,
    )
    print(f"The run is in {policy.folder}")
    subprocess.run([sys.executable, "-W", "ignore", "-c", OTHER_PROCESS, str(policy.folder)], check=True)


if __name__ == "__main__":
    main()
