"""What W&B's environment variables and settings files ask for, and how that agrees with the configuration."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import urlopen

from cocoa.config.schema import Config
from cocoa.errors import shown
from cocoa.storage.files import atomic_write, read_regular

_CLOUD, _FORMER_CLOUD = "api.forge.coreweave.com", "api.wandb.ai"  # a key for the former opens the other
_CONNECT_SECONDS = 3.0
_DEFAULT_PROJECT = "cocoa"
_LIMIT = 2**16  # bytes of a named run

Mode = Literal["online", "offline", "off"]

_MODES: dict[str, Mode] = {
    **{"online": "online", "run": "online", "shared": "online"},  # each of our runs has one writer
    **{"offline": "offline", "dryrun": "offline"},
    "disabled": "off",
}
"""W&B's own modes as those of the configuration."""


def choose_mode(configured: str, say: Callable[[str], None]) -> Mode:
    """Return the mode for one of auto, online, offline and off; `say` reports what was overruled.

    `auto` obeys $WANDB_MODE, $WANDB_DISABLED and W&B's settings files, and else is online where a key is set.
    Every other value overrules them. Online becomes offline where there is no key or no network. wandb is
    imported only if W&B is used, and a server is asked only if the mode is online.
    """
    variable, asked = _mode_of_environment()
    if configured != "auto":
        if asked not in (None, configured):
            say(f"W&B: the configuration's wandb={configured} is used, not {variable} of the environment.")
        asked = configured
    if asked == "off":
        return "off"
    env_settings = settings()
    if asked is None and "mode" in env_settings.model_fields_set:
        asked = _MODES[env_settings.mode]
    if asked in ("off", "offline"):
        return "off" if asked == "off" else "offline"
    if not has_key(env_settings.base_url):
        if asked == "online":
            say("W&B has no key (wandb login, or WANDB_API_KEY), so this run is kept offline.")
        return "offline"
    if not _reachable(env_settings.base_url):
        say(f"W&B at {env_settings.base_url} cannot be reached, so this run is kept offline.")
        return "offline"
    return "online"


def _mode_of_environment() -> tuple[str, Mode | None]:
    """Return the variable that sets W&B's mode, as NAME=value, and the mode; None if there is none."""
    disabled = os.environ.get("WANDB_DISABLED", "")
    if disabled.lower() in ("1", "true", "yes", "on", "y", "t"):
        return f"WANDB_DISABLED={disabled}", "off"
    name = os.environ.get("WANDB_MODE", "")
    if name and name not in _MODES:
        raise ValueError(f"WANDB_MODE={shown(name)} is not possible. Choices: {', '.join(_MODES)}")
    return f"WANDB_MODE={name}", _MODES.get(name)


def project(config: Config, env_settings: Any, say: Callable[[str], None]) -> str:
    """Return the project: that of the configuration, else of W&B's settings, else `cocoa`."""
    if config.wandb_project and env_settings.project not in (None, config.wandb_project):
        say(
            f"W&B: the configuration's wandb_project={config.wandb_project} is used, not the project "
            f"{shown(env_settings.project)} of the environment."
        )
    return config.wandb_project or env_settings.project or _DEFAULT_PROJECT


def settings() -> Any:
    """Return W&B's settings as its files and the environment say now; `wandb.setup` keeps those it saw first.

    Nothing is sent or started. Only what was set is in `model_fields_set`.
    """
    import wandb

    home = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    env_settings = wandb.Settings(settings_system=str(Path(home).expanduser() / "settings"), quiet=True)
    env_settings.update_from_system_settings()
    env_settings.update_from_env_vars({name: value for name, value in os.environ.items() if value})
    return env_settings


@contextlib.contextmanager
def process_settings(**values: Any) -> Iterator[None]:
    """Change wandb's settings of this process for a while: it reads some of them whatever `init` is given."""
    import wandb

    shared = wandb.setup().settings
    before = {name: getattr(shared, name) for name in values}

    def change(values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(shared, name, value)
        wandb.termsetup(shared, None)  # what it prints follows `silent`

    try:
        change(values)
        yield
    finally:
        change(before)


@dataclass(frozen=True)
class NamedRun:
    """The W&B run that the environment names for this training, as a sweep's agent does."""

    run_id: str
    sweep_id: str | None = None
    project: str | None = None
    entity: str | None = None


def named_run(folder: Path, env_settings: Any) -> NamedRun | None:
    """Return the W&B run that $WANDB_RUN_ID names, or the one that the training in `folder` began with."""
    path = folder / "wandb" / "named_run.json"
    if env_settings.run_id:
        named = NamedRun(
            env_settings.run_id, env_settings.sweep_id, env_settings.project, env_settings.entity
        )
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, json.dumps(asdict(named)).encode())
        return named
    with contextlib.suppress(OSError, ValueError, TypeError):
        return NamedRun(**json.loads(read_regular(path, _LIMIT)))
    return None


def has_key(base: str) -> bool:
    """Return whether a W&B key is set in the environment or for the server `base` in the user's netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
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
    """Return whether anything answers at `base`, through the user's proxy if there is one."""
    try:
        urlopen(base, timeout=_CONNECT_SECONDS).close()
        return True
    except HTTPError:
        return True
    except URLError as error:  # wandb brings its own certificates: whether it trusts the server, it must say
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, HTTPException):
        return False
