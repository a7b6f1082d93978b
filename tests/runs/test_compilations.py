"""A run's log lists the programs that it compiles, and none of them is compiled twice."""

import collections
import os
import re
import subprocess
import sys

from support.paths import ROOT

TINY = """
    algo=iql +cocoa algo.hidden=[8] cocoa.hidden=[8] cocoa.encoder_hidden=[8] cocoa.seeker.hidden=[8]
    cocoa.seeker.max_epochs=2 dynamics.hidden=[8] dynamics.weight_decay=[1e-5,1e-5] dynamics.max_epochs=2
    updates=40 log_every=10 eval_every=20 eval_episodes=1 wandb=off name=run
"""
PROBES = "_probe"  # programs that differ in the compiler's options alone


def test_nothing_is_compiled_twice_and_the_log_lists_all_programs(tmp_path):
    programs = tmp_path / "programs"
    fields = [*TINY.split(), f"runs_dir={tmp_path}", f"cache_dir={tmp_path}/cache"]
    command = [sys.executable, "train.py", "dataset=hopper-demo", *fields]
    environment = os.environ | {"JAX_DUMP_IR_TO": str(programs), "JAX_COMPILATION_CACHE_DIR": ""}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=600)

    dumped = sorted(programs.glob("*_compile.mlir"))
    texts = collections.Counter(path.read_text() for path in dumped)
    names = [re.search(r"module @(\w+)", text)[1] for text, count in texts.items() if count > 1]
    assert [name for name in names if PROBES not in name] == []
    assert 0 < len(dumped) < 90

    log = (tmp_path / "hopper-demo" / "iql+cocoa" / "run" / "log.txt").read_text()
    listed = re.findall(r"DEBUG Compiled jit\((\w+)\), or read it from the cache: \d+\.\d+ s", log)
    assert {"_walk", "_member_epoch", "of_all"} <= set(listed)
    assert len(listed) > len(dumped) - 10  # all but those before the run has a log
