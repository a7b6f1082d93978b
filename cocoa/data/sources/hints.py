"""What an unknown name of a dataset may be: of another source, an environment, or a known name misspelt."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gymnasium

from cocoa.data.reference import family_of
from cocoa.data.sources.base import SOURCES
from cocoa.errors import shown

_ENVIRONMENT = re.compile(r"[A-Z]\w*-v\d+")
_OGBENCH = re.compile(r"(pointmaze|antmaze|humanoidmaze|antsoccer|cube|scene|puzzle|powderworld)(-.+)?-v0")
_MINARI = re.compile(r"[\w-]+(/[\w-]+)*/[\w-]+-v\d+")
_UNREAD = re.compile(r"(flow|carla|minigrid|bullet|maze2d-(open|eval))-.+")
_MOST_NAMES = 4


def hint(name: str) -> str | None:
    """Return a sentence on what a name that no source answers to looks like, or None."""
    return next((text for text in _hints(name) if text), None)


def _hints(name: str) -> Iterator[str | None]:
    yield _spelling(name)
    yield _prefix(name)
    if _OGBENCH.fullmatch(name):
        task = name if "singletask" in name else name.replace("-v0", "-singletask-v0")
        yield f"It looks like a dataset of OGBench, whose single tasks are read: write ogbench:{task}."
    if _UNREAD.fullmatch(name):
        yield "It is one of D4RL's that are not read here."
    yield _of_environment(name)
    if _MINARI.fullmatch(name):
        yield f"It looks like a dataset of Minari: write minari:{name}."


def _of_environment(name: str) -> str | None:
    """Return that a name is a Gymnasium id, or looks like one, with datasets that are evaluated there."""
    env = name.rpartition(":")[2]
    if env not in gymnasium.registry and not _ENVIRONMENT.fullmatch(env):
        return None
    infos = [source.info(known) for source in SOURCES for known in sorted(source.names())]
    same = [info for info in infos if info.env and family_of(info.env) == family_of(env)]
    # The very environment first, then the version of most papers.
    same.sort(key=lambda info: (info.env != env, not info.name.endswith("-v2")))
    names = ", ".join(info.name for info in same[:_MOST_NAMES])
    data = f" Datasets of it: {names}." if names else ""
    return f"It is the id of an environment: give it as env={name}.{data}"


def _spelling(name: str) -> str | None:
    """Return the known names that are the same but for capitals, underlines and the version."""
    plain = name.lower().replace("_", "-")
    known = [known for source in SOURCES for known in source.names()]
    same = [other for other in known if re.sub(r"-v\d+$", "", other.lower()) == re.sub(r"-v\d+$", "", plain)]
    exact = [other for other in same if other.lower() == plain]
    return f"Write {' or '.join(sorted(exact or same, reverse=True))}." if same else None


def _prefix(name: str) -> str | None:
    """Return the name with the prefix of a registered source, if the source knows it without, or misspelt."""
    first, colon, rest = name.partition(":")
    for source in SOURCES:
        if source.prefix and f"{source.prefix}{name}" in source.names():
            return f"Write {source.prefix}{name}."
        if colon and source.prefix and first.lower() == source.prefix[:-1].lower():
            return f"Write {source.prefix}{shown(rest)}."
    return None
