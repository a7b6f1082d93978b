"""The command that started this program, as messages name it."""

from __future__ import annotations

import os
import shlex
import sys


def program() -> str:
    """Return what the user types to run the command line: `python train.py`, or `cocoa` if that is not it."""
    return f"python {shlex.quote(sys.argv[0])}" if _name() == "train.py" else "cocoa"


def resume_command(folder: str | os.PathLike[str], trust: bool = False) -> str:
    """Return the command or, in a program of the user's own, the call that resumes the run in `folder`.

    With `trust` it allows importing the modules that the run's configuration names.
    """
    path, flag = os.path.abspath(folder), " --trust" if trust else ""
    if _name() == "train.py":
        return f"{program()} resume={shlex.quote(path)}{flag}"
    if _name() == "cocoa":
        return f"{program()} resume {shlex.quote(path)}{flag}"
    return f"cocoa.resume({path!r})"  # in a program that has imported them


def _name() -> str:
    return os.path.basename(sys.argv[0]).removesuffix(".exe")
