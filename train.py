"""Train: `python train.py algo=iql +cocoa`. `python train.py --help` lists what can be set."""

import gc
import sys

if __name__ == "__main__":
    # A start makes many objects that stay. To look for garbage among them so often takes a fifteenth of it.
    gc.set_threshold(100_000)
    from cocoa.cli import main

    sys.exit(main())
