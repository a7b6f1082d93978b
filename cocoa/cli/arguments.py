"""The flags and words of a command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cocoa.config.program import program
from cocoa.errors import ConfigError, RunError


def split(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags, wherever they stand, and all other arguments. Raises ConfigError."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--cfg", choices=["job"])
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--version", action="store_true")
    try:
        flags, words = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}. {program()} --help shows the flags.") from error
    words = [without_dashes(word) for word in words]
    for word in words:
        if word.startswith("-"):
            name = word.lstrip("-")
            advice = "COCOA is added by +cocoa" if name == "cocoa" else f"fields have values: {name}=..."
            raise ConfigError(
                f"Unknown flag {word}. The flags are --help, --version, -m, --cfg job and --trust; {advice}"
            )
    return flags, words


def without_dashes(word: str) -> str:
    """Return an argument as fields are written, also if it is in the form of a W&B sweep: --field=value."""
    return word.removeprefix("--") if "=" in word else word


def import_from_here(words: Sequence[str], trust: bool) -> None:
    """Let modules of the working directory be imported, if a module may be named."""
    named = any(":" in word and word.startswith(("algo=", "+cocoa=", "env=", "logger=")) for word in words)
    if (named or trust) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: no file there may take the place of a library


def check_surroundings(words: Sequence[str]) -> None:
    """Raise a UserError for a working directory that is gone, or names that are no text."""
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        raise RunError("The working directory was deleted. Change to another one: cd ~") from error
    for text in (*words, here):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{text!a} has bytes that are no text in the encoding of file names here "
                f"({sys.getfilesystemencoding()}). Set PYTHONUTF8=1, or rename it."
            ) from error
