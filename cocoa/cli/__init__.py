"""The command line: `python train.py ...` in a checkout, `cocoa ...` where the package is installed."""

from __future__ import annotations

import errno
import gc
import sys
from collections.abc import Sequence

from cocoa.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 2 for a mistake of the user."""
    # A start makes many objects that stay. To look for garbage among them so often takes a fifteenth of it.
    gc.set_threshold(100_000)
    from cocoa.cli import verbs
    from cocoa.runs.terminal import protect_streams
    from cocoa.studies.worker import INTERRUPTED

    protect_streams()
    try:
        return verbs.run(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        print("Error: Too many files are open. Allow more: ulimit -n 1024.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
