"""Compare runs: `python -m cocoa.report runs` prints a table, and writes a page, figures and tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cocoa.config.program import Parser
from cocoa.errors import UserError
from cocoa.report.contents import Options
from cocoa.report.files import write_report
from cocoa.report.watch import watch
from cocoa.runs.terminal import protect_streams

_ABOUT = (
    "Compare runs: print a table of the finished ones; write a page with all there is to see of them "
    "(<folder>-report.html), the scores as CSV and LaTeX, and a figure for each dataset."
)


def main(arguments: Sequence[str] | None = None, program: str = "python -m cocoa.report") -> int:
    """Print the table, write the files, return the exit status; the help names the command `program`."""
    protect_streams()
    parser = Parser(prog=program, description=_ABOUT)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of runs, or any folder above them")
    parser.add_argument("--out", type=Path, default=Path(), help="where files go (default: here)")
    parser.add_argument(
        "--watch", action="store_true", help="write the page again whenever a run has gone on, until Ctrl-C"
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), help="print a comparison of method B with method A, too"
    )
    parser.add_argument(
        "--effect", type=float, help="say how many seeds would show a difference of this size in the score"
    )
    parser.add_argument(
        "--tuning", action="store_true", help="print how good the policy is that is chosen by n evaluations"
    )
    options = None
    try:
        options = parser.parse_args(arguments)
        wanted = Options(tuple(options.compare) if options.compare else None, options.effect, options.tuning)
        (watch if options.watch else write_report)(options.folders, options.out, wanted)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0 if options and options.watch else 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
