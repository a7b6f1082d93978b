"""Videos of final policies, rendered in a process of its own: whatever fails there harms no training."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cocoa.config.extensions import import_trusted
from cocoa.config.schema import Config
from cocoa.environments.spaces import close_environments, make_environment
from cocoa.errors import shown
from cocoa.runs.folder import read_config
from cocoa.runs.policy import load_policy

_FRAMES_PER_SECOND = 30
_TIMEOUT = 900.0
"""Seconds for the videos of all seeds."""


def film(folder: Path, config: Config, say: Callable[[str], None]) -> dict[int, Path]:
    """Film an episode of each seed's policy, as videos/<seed>.mp4 in the run's folder; return the files.

    `say` reports what fails. MuJoCo renders without a screen, by EGL unless $MUJOCO_GL says otherwise.
    """
    if config.env is None:
        say("No video: no environment is known.")
        return {}
    variables = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    variables |= {"MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")} if sys.platform == "linux" else {}
    command = [sys.executable, "-m", "cocoa.runs.video", str(folder)]
    try:
        done = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=_TIMEOUT
        )
        failure = (done.stderr.strip().splitlines() or ["the process died"])[-1] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    if failure:
        say(f"No video: {shown(failure, 300)}")
    paths = {seed: _path(folder, seed) for seed in config.seeds}
    return {seed: path for seed, path in paths.items() if path.is_file()} if not failure else {}


def render(folder: Path) -> None:
    """Film the policies of the run in `folder`, whose modules are imported."""
    config = read_config(folder, trust=True)
    import_trusted(config.env or "", trust=True)
    for seed in config.seeds:
        _render(folder, config.env or "", seed)


def _render(folder: Path, env_id: str, seed: int) -> None:
    """Play an episode of a seed's policy, and write about 30 frames for each of its seconds."""
    import imageio

    policy = load_policy(folder, seed, trust=True)
    env = make_environment(env_id, render=True)
    path = _path(folder, seed)
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}")
    rate = env.metadata.get("render_fps") or _FRAMES_PER_SECOND
    every = max(1, round(rate / _FRAMES_PER_SECOND))
    state, _ = env.reset(seed=seed)
    over, step = False, 0
    with imageio.get_writer(part, fps=rate / every, macro_block_size=2) as video:
        while not over:
            if step % every == 0:
                video.append_data(env.render())  # type: ignore[attr-defined]
            state, _, terminated, truncated, _ = env.step(policy(state))
            over, step = terminated or truncated, step + 1
    close_environments(env)
    part.replace(path)


def _path(folder: Path, seed: int) -> Path:
    return folder / "videos" / f"{seed}.mp4"


if __name__ == "__main__":
    render(Path(sys.argv[1]))
