"""Weights & Biases: one run per seed, grouped; never asked for, never in the way."""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np

from cocoa.config import Config, to_dict
from cocoa.training import runs

_CLOUD, _FORMER_CLOUD = "api.forge.coreweave.com", "api.wandb.ai"  # a key for the former opens the other
_CONNECT_SECONDS = 3.0
_INIT_SECONDS = 6.0


class WandbLogger:
    """Sends metrics to W&B, or keeps them offline in the run's folder; a failure never stops the run.

    The mode is `config.wandb`: `off` does not even import wandb, `auto` is online where a key is set and
    offline else. Online falls back to offline where the server cannot be reached or refuses.
    """

    def __init__(self, config: Config, folder: Path, say: Callable[[str], None]):
        """Open a W&B run for each seed; `say` tells the user of failures."""
        self._say = say
        self._runs: list[Any] = []
        if config.wandb != "off":
            self._guard(lambda: self._open(config, folder))

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Log numbers, or arrays (seeds,) of them, against the update `step`."""

        def send() -> None:
            for index, run in enumerate(self._runs):
                values = {name: _of_seed(value, index) for name, value in metrics.items()}
                run.log({"update": step, **{k: v for k, v in values.items() if v is not None}})

        if self._runs:
            self._guard(send)

    def image(self, name: str, path: Path) -> None:
        """Show the picture at `path` in every run."""

        def send() -> None:
            import wandb

            for run in self._runs:
                run.log({name: wandb.Image(str(path))})

        if self._runs:  # else nothing imports wandb
            self._guard(send)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write each seed's scores into its run's summary, and close all."""

        def send() -> None:
            for index, run in enumerate(self._runs):
                for name in ("score", "score_last10", "return", "return_last10"):
                    if summary.get(name):
                        run.summary[name] = summary[name]["per_seed"][index]
                run.summary["behaviour_score"] = summary.get("behaviour_score")
                run.finish(exit_code=0 if summary["status"] == "finished" else 1)

        if self._runs:
            self._guard(send)
        self._runs = []

    def _open(self, config: Config, folder: Path) -> None:
        import wandb

        mode = choose_mode(config.wandb, self._say)
        method = runs.method(config)
        dataset = Path(config.dataset).stem
        variant = config.variant or "plain"
        for seed in config.seeds:
            identity = _identity(folder, seed)
            init = partial(
                wandb.init,
                project=config.wandb_project,
                group=f"{dataset}/{method}/{folder.name}",
                name=f"{method} {dataset} seed {seed}",
                resume="allow",
                tags=[dataset, config.algo.name, variant],
                config={**to_dict(config), "seed": seed, "method": method},
                dir=str(folder),
                reinit="create_new",
                settings=wandb.Settings(
                    base_url=server(),
                    silent=True,
                    console="off",
                    init_timeout=_INIT_SECONDS,
                    x_disable_stats=True,
                ),
            )
            try:
                run = init(id=identity, mode=mode)
            except Exception as error:
                if mode == "offline":
                    raise
                self._say(f"W&B refuses, so this run is kept offline: {_line(error)}")
                mode = "offline"
                run = init(id=f"{identity}-offline", mode=mode)  # wandb keeps the refused id to itself
            run.define_metric("update")
            run.define_metric("*", step_metric="update")
            self._runs.append(run)
        if mode == "offline":
            self._say(f"W&B is offline; upload this run with: wandb sync {folder}/wandb/offline-*")

    def _guard(self, action: Callable[[], None]) -> None:
        """Do something with wandb; if it fails, say so and be silent from then on."""
        try:
            action()
        except Exception as error:  # whatever goes wrong there, training goes on
            self._runs = []
            self._say(f"W&B failed and is left out from here on: {_line(error)}")


def _identity(folder: Path, seed: int) -> str:
    """Return W&B's id of a seed: the same when its run goes on, another for another run in the folder."""
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    return hashlib.sha256(f"{folder.resolve()} {seed} {config}".encode()).hexdigest()[:16]


def choose_mode(wanted: str, say: Callable[[str], None]) -> Literal["online", "offline"]:
    """Return `online` or `offline` for one of auto, online, offline; no network means offline."""
    if wanted == "offline":
        return "offline"
    base = server()
    if wanted == "auto" and not has_key(base):
        return "offline"
    if not has_key(base):
        say("W&B has no key (wandb login, or WANDB_API_KEY), so this run is kept offline.")
        return "offline"
    if not _reachable(base):
        say(f"W&B at {base} cannot be reached, so this run is kept offline.")
        return "offline"
    return "online"


def server() -> str:
    """Return the URL of W&B's server: $WANDB_BASE_URL, else that of wandb's settings, else its default."""
    import wandb

    known = wandb.setup(wandb.Settings(silent=True)).settings.base_url  # silent: its login prints otherwise
    given = os.environ.get("WANDB_BASE_URL")  # wandb keeps the one it saw first
    return wandb.Settings(base_url=given).base_url if given else known


def has_key(base: str) -> bool:
    """Tell whether a W&B key is set in the environment or for the server `base` in the user's netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    try:
        path = os.environ.get("NETRC")
        known = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    host = urlparse(base).netloc
    return host in known or (host == _CLOUD and _FORMER_CLOUD in known)


def _reachable(base: str) -> bool:
    """Tell whether anything answers at `base`, through the user's proxy if there is one."""
    try:
        urlopen(base, timeout=_CONNECT_SECONDS).close()
        return True
    except HTTPError:
        return True
    except URLError as error:  # wandb brings its own certificates: whether it trusts the server, it must say
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, HTTPException):
        return False


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _of_seed(value: Any, index: int) -> float | None:
    """Return a number, or its entry for a seed; None where there is nothing to log."""
    if value is None:
        return None
    array = np.asarray(value)
    return float(array if array.ndim == 0 else array[index])
