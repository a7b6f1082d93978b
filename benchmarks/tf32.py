"""Scores with TF32 in the updates beside exact ones: `python -m benchmarks.tf32 hopper-medium.hdf5`.

TF32 is emulated (see benchmarks/rounded.py): no GPU is needed. What the two have in common, seeds, data and
the episodes that are played, is the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cocoa
from benchmarks.rounded import RoundedIQL, RoundedTD3BC

EPISODES = 20
"""Played with the last policy of each seed."""
PAIRS = {"iql": (cocoa.IQL, RoundedIQL), "td3_bc": (cocoa.TD3BC, RoundedTD3BC)}


def main() -> None:
    """Train, and print each seed's score and the last losses."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tf32", description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--only", nargs="+", choices=PAIRS, default=list(PAIRS), help="of these algorithms")
    parser.add_argument("--cocoa", default=None, help="an anchor variant, such as seek")
    parser.add_argument("--updates", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", default="runs", help="where run folders are made")
    options = parser.parse_args()
    for name in options.only:
        for kind, cls in zip(("exact", "rounded"), PAIRS[name], strict=True):
            policy = cocoa.fit(
                cls(),
                options.dataset,
                options.cocoa,
                seeds=options.seeds,
                updates=options.updates,
                eval_every=options.updates,
                eval_episodes=10,
                runs_dir=options.runs,
            )
            returns = cocoa.evaluate(policy.folder, episodes=EPISODES).episodes.returns.mean(axis=1)
            title = f"{name}{'+' + options.cocoa if options.cocoa else ''}, {kind}"
            print(f"{title}: returns {returns.round(1).tolist()}, mean {returns.mean():.1f}, ", end="")
            print(f"deviation {returns.std(ddof=1):.1f}; losses in {policy.folder}", flush=True)


if __name__ == "__main__":
    main()
