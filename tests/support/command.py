"""The console script `cocoa`, as an installer writes it."""

import sys
from pathlib import Path

SCRIPT = """\
import sys
from cocoa.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


def console_script(folder: Path) -> list[str]:
    """Write the script to `folder` and return the command that runs it."""
    path = folder / "cocoa"
    path.write_text(SCRIPT)
    return [sys.executable, str(path)]
