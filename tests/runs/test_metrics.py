"""The metrics file: exact numbers, cut back on resume, whole or told to be damaged."""

import os
import subprocess
import sys
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoa.errors import RunError
from cocoa.runs.metrics import HEADER, MetricsFile, read_metrics

SEEDS = (3, 7)


def write_all(file, entries):
    for step, metrics in entries:
        file.write(step, metrics, SEEDS)


def test_rows_as_documented(tmp_path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    file.write(10, {"loss": np.array([0.1, 2.0], np.float32), "speed": 3.5}, SEEDS)
    file.write(20, {"count": 4, "loss": jnp.float32(0.1)}, None)
    file.close()
    assert path.read_text() == (
        "step,seed,metric,value\n10,3,loss,0.1\n10,7,loss,2.0\n10,,speed,3.5\n20,,count,4\n20,,loss,0.1\n"
    )


@settings(max_examples=200, deadline=None)
@given(st.floats(width=32), st.floats())
def test_numbers_read_back_exactly(tmp_path_factory, single, double):
    path = tmp_path_factory.mktemp("exact") / "metrics.csv"
    file = MetricsFile(path)
    file.write(1, {"single": np.array([single], np.float32), "double": np.array([double])}, [0])
    file.close()
    metrics = read_metrics(path)
    np.testing.assert_array_equal(np.float32(metrics.values("single")[1]), np.float32([[single]]))
    np.testing.assert_array_equal(metrics.values("double")[1], [[double]])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 8), st.integers(0, 5), st.booleans())
def test_a_resumed_file_equals_an_uninterrupted_one(tmp_path_factory, saved, lost, torn):
    """Rows after the checkpoint are written again; a torn last row goes as well."""
    folder = tmp_path_factory.mktemp("resume")
    values = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    entries = [(10 * step, {"loss": row, "évaluation": float(row[0])}) for step, row in enumerate(values)]
    whole = MetricsFile(folder / "whole.csv")
    write_all(whole, entries)
    whole.close()
    cut = MetricsFile(folder / "cut.csv")
    write_all(cut, entries[:saved])
    position = cut.position()
    assert position == (folder / "cut.csv").stat().st_size
    write_all(cut, entries[saved : saved + lost])
    cut.close()
    if torn:
        with (folder / "cut.csv").open("a") as file:
            file.write("50,3,lo")
    resumed = MetricsFile(folder / "cut.csv", position)
    write_all(resumed, entries[saved:])
    resumed.close()
    assert (folder / "cut.csv").read_bytes() == (folder / "whole.csv").read_bytes()


def test_starting_anew_drops_what_was_there(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("old\n" * 100)
    MetricsFile(path).close()
    assert path.read_text() == HEADER


def test_what_was_positioned_survives_a_kill(tmp_path):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from cocoa.runs.metrics import MetricsFile\n"
        "file = MetricsFile(Path(sys.argv[1]))\nfile.write(1, {'a': 2.5}, None)\n"
        "print(file.position(), flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "metrics.csv"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert path.read_text() == HEADER + "1,,a,2.5\n"
    assert int(done.stdout) == path.stat().st_size


def test_values_by_seed(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    for step, value in ((5, [1.0, 2.0]), (10, [3.0, np.nan])):
        file.write(step, {"score": np.array(value), "whole": 9.0}, SEEDS)
    file.close()
    metrics = read_metrics(tmp_path / "metrics.csv")
    steps, values = metrics.values("score")
    assert steps.tolist() == [5, 10]
    np.testing.assert_array_equal(values, [[1.0, 3.0], [2.0, np.nan]])
    assert metrics.seeds("score") == [3, 7]
    assert metrics.series["whole", None] == [(5, 9.0), (10, 9.0)]
    for nothing in ("whole", "unknown"):
        steps, values = metrics.values(nothing)
        assert steps.size == values.size == 0


@pytest.mark.parametrize("tail", ["20,7,score,1", "20,7,sc", "20", "20,7,score,"])
def test_a_torn_last_row_is_no_row(tmp_path, tail):
    """Its number may have lost digits; with it goes the step, which not every seed has."""
    path = tmp_path / "metrics.csv"
    path.write_text(f"{HEADER}10,3,score,1.5\n10,7,score,2.5\n20,3,score,3.5\n{tail}")
    steps, values = read_metrics(path).values("score")
    assert steps.tolist() == [10]
    assert values.tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1"),
        (b"time,value\n1,2\n", "line 1"),
        (b"\0" * 300_000, "line 1"),
        (HEADER.encode() + b"1,0,a,1.5\n1,0\n", "line 3"),
        (HEADER.encode() + b"1,0,a,1.5\n\n", "line 3"),
        (HEADER.encode() + b"1,0,a,b,1.5\n", "line 2"),
        (HEADER.encode() + b"1.5,0,a,1\n", "line 2"),
        (HEADER.encode() + b"1,zero,a,1\n", "line 2"),
        (HEADER.encode() + b"1,0,a,one\n", "line 2"),
        (HEADER.encode() + b"\0" * 300_000 + b"\n", "line 2"),
        (HEADER.encode() + b"\xff\n", "cannot be read"),
    ],
)
def test_damage_is_told(tmp_path, content, message):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        read_metrics(path)
    assert len(str(caught.value)) < 500 + len(str(path))


def test_missing_and_shortened_files_are_told(tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        read_metrics(tmp_path / "none.csv")
    (tmp_path / "short.csv").write_text(HEADER)
    with pytest.raises(RunError, match="shorter"):
        MetricsFile(tmp_path / "short.csv", 1000)
    with pytest.raises(RunError, match="cannot be written"):
        MetricsFile(tmp_path / "no-folder" / "metrics.csv")


def test_a_file_that_was_changed_is_told_and_left_as_it_is(tmp_path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    file.write(10, {"loss": 0.5}, None)
    position, crc32 = file.position(), file.crc32
    file.write(20, {"loss": 0.25}, None)
    file.close()
    whole = path.read_bytes()
    assert zlib.crc32(whole[:position]) == crc32
    changed = whole.replace(b"0.5", b"0.6")
    path.write_bytes(changed)
    with pytest.raises(RunError, match=r"is not as it was when its run was saved.*load_policy"):
        MetricsFile(path, position, crc32)
    assert path.read_bytes() == changed
    path.write_bytes(whole)
    again = MetricsFile(path, position, crc32)
    again.write(20, {"loss": 0.25}, None)
    assert again.crc32 == zlib.crc32(whole)
    again.close()
    assert path.read_bytes() == whole


def test_a_file_that_is_none_is_told_at_once(tmp_path):
    os.mkfifo(tmp_path / "metrics.csv")
    with pytest.raises(RunError, match="it is a FIFO"):
        MetricsFile(tmp_path / "metrics.csv")


def test_wrong_shapes_are_refused(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    for value, seeds in ((np.zeros(3), SEEDS), (np.zeros(2), None), (np.zeros((2, 1)), SEEDS)):
        with pytest.raises(ValueError, match="shape"):
            file.write(0, {"loss": value}, seeds)
    file.close()
    assert (tmp_path / "metrics.csv").read_text() == HEADER


@pytest.mark.parametrize("value", ["0.5", b"1", None, 1 + 2j, ["a", "b"], [None, 1.0], np.datetime64("2026")])
def test_what_is_no_number_is_refused(tmp_path, value):
    file = MetricsFile(tmp_path / "metrics.csv")
    with pytest.raises(ValueError, match=r"metric loss is .*give a number"):
        file.write(0, {"first": 1.0, "loss": value}, SEEDS)
    file.close()
    assert (tmp_path / "metrics.csv").read_text() == HEADER


@pytest.mark.parametrize("name", ["a,b", "a\nb", "a\rb"])
def test_names_that_would_not_read_back_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="in its name"):
        MetricsFile(tmp_path / "metrics.csv").write(0, {name: 1.0}, None)


def test_numbers_of_all_types_read_back(tmp_path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    values = {
        "truth": True,
        "truths": np.array([True, False]),
        "half": jnp.bfloat16(0.5),
        "whole": np.uint8(7),
    }
    file.write(1, values, SEEDS)
    file.close()
    found = read_metrics(path)
    assert found.series["truth", None] == [(1, 1.0)]
    assert found.values("truths")[1].tolist() == [[1.0], [0.0]]
    assert found.series["half", None] == [(1, 0.5)]
    assert found.series["whole", None] == [(1, 7.0)]


def test_a_disk_that_is_full_is_told_and_what_was_saved_goes_on(tmp_path):
    """Also by close, which tries once more; then the file is cut back to what was saved."""
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from cocoa.errors import RunError\nfrom cocoa.runs.metrics import MetricsFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "file = MetricsFile(Path(sys.argv[1]))\n"
        "file.write(0, {'kept': 1.0}, None)\nprint(file.position(), flush=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "told = 0\n"
        "for action in (lambda: file.write(1, {f'metric{i}': 0.5 for i in range(50)}, None), file.position,\n"
        "               file.close):\n"
        "    try:\n        action()\n    except RunError:\n        told += 1\n"
        "sys.exit(told)\n"
    )
    path = tmp_path / "metrics.csv"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert path.stat().st_size == 100
    resumed = MetricsFile(path, int(done.stdout))
    resumed.close()
    assert path.read_text() == HEADER + "0,,kept,1.0\n"
