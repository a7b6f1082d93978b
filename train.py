"""Train: `python train.py algo=iql +cocoa`. `python train.py --help` lists what can be set."""

import sys

from cocoa.cli import main

if __name__ == "__main__":
    sys.exit(main())
