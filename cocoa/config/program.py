"""The command that started this program, as messages name it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import NoReturn

from cocoa.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """A parser of a verb's arguments that raises ConfigError for wrong ones."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with argparse's message and where the help is."""
        raise ConfigError(
            f"{message[:1].upper()}{message[1:]}. {self.prog} --help shows what may stand there."
        )


def program() -> str:
    """Return what the user types to run the command line: `python train.py`, or `cocoa` if that is not it."""
    return f"python {shlex.quote(sys.argv[0])}" if _name() == "train.py" else "cocoa"


def resume_command(folder: str | os.PathLike[str], trust: bool = False) -> str:
    """Return the command or, in a program of the user's own, the call that resumes the run in `folder`.

    With `trust` it allows importing the modules that the run's configuration names.
    """
    path, flag = os.path.abspath(folder), " --trust" if trust else ""
    if _name() in ("train.py", "cocoa"):
        return f"{program()} resume {shlex.quote(path)}{flag}"
    return f"cocoa.resume({path!r})"  # in a program that has imported them


def _name() -> str:
    return os.path.basename(sys.argv[0]).removesuffix(".exe")
