"""Train: `python train.py algo=iql +cocoa`. `python train.py --help` lists what can be set."""

import os
import sys

# SciPy's BLAS serves the decompositions of small matrices when networks are made. Its threads do not help
# there, and on a busy machine they wait for each other for seconds. It has to be told before it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from cocoa.cli import main

if __name__ == "__main__":
    sys.exit(main())
