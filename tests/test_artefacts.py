"""The cache of artefacts, and the files that it is made of."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cocoa.artefacts import Store, fingerprint
from cocoa.errors import RunError
from cocoa.files import atomic_write
from cocoa.serialization import load_tree, read_metadata, save_tree


class Halving:
    """A fit whose result is known: halves a number in each of four epochs."""

    def __init__(self):
        self.epochs = 0

    def init(self):
        return {"x": jnp.float32(16), "epoch": jnp.int32(0)}

    def epoch(self, state):
        self.epochs += 1
        return {"x": state["x"] / 2, "epoch": state["epoch"] + 1}, {"x": float(state["x"])}

    def finished(self, state):
        return int(state["epoch"]) == 4

    def progress(self, state):
        return int(state["epoch"]), 4

    def result(self, state):
        return {"x": state["x"]}


class Watcher:
    def __init__(self, stop_after=None):
        self.said, self.stop_after = [], stop_after

    def say(self, text):
        self.said.append(text)

    def epoch(self, stage, done, most, metrics, seconds):
        self.done = done

    def check(self):
        if self.done == self.stop_after:
            raise InterruptedError


def obtain(store, fit, **specification):
    return store.fit("halving", specification, lambda: fit, fit)


def test_a_fit_is_trained_once_and_then_found(tmp_path):
    first, second = Halving(), Halving()
    result, history = obtain(Store(str(tmp_path), Watcher()), first, a=1)
    assert float(result["x"]) == 1.0
    assert [epoch["x"] for epoch in history] == [16, 8, 4, 2]
    assert obtain(Store(str(tmp_path), Watcher()), second, a=1) == (result, history)
    assert (first.epochs, second.epochs) == (4, 0)
    other = Halving()
    obtain(Store(str(tmp_path), Watcher()), other, a=2)
    assert other.epochs == 4


def test_a_fit_that_was_stopped_goes_on(tmp_path):
    first, second = Halving(), Halving()
    with pytest.raises(InterruptedError):
        obtain(Store(str(tmp_path), Watcher(stop_after=3)), first, a=1)
    result, history = obtain(Store(str(tmp_path), Watcher()), second, a=1)
    assert (first.epochs, second.epochs) == (3, 1)
    assert float(result["x"]) == 1.0
    assert len(history) == 4
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("suffix", [".partial", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_a_damaged_file_is_built_anew(suffix, content, tmp_path):
    path = tmp_path / f"halving-{fingerprint({'a': 1})}"
    path.with_suffix(suffix).write_bytes(content)
    watcher = Watcher()
    result, _ = obtain(Store(str(tmp_path), watcher), Halving(), a=1)
    assert float(result["x"]) == 1.0
    assert "built anew" in watcher.said[0]


def test_the_fingerprint_depends_on_every_field_and_not_on_their_order():
    base = {"a": 1, "b": [1.5, None]}
    assert fingerprint(base) == fingerprint({"b": [1.5, None], "a": 1})
    assert len({fingerprint(base), fingerprint({**base, "a": 2}), fingerprint({**base, "b": [1.5, 0]})}) == 3


def test_trees_come_back_with_their_dtypes_shapes_and_keys(tmp_path):
    tree = {
        "scalar": jnp.float32(2.5),
        "flags": jnp.array([True, False]),
        "list": [jnp.arange(6).reshape(2, 3), jnp.zeros((0, 3))],
        "key": jax.random.split(jax.random.key(3)),
        "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
    }
    save_tree(tmp_path / "tree", tree, {"step": "3"})
    loaded = load_tree(tmp_path / "tree", jax.eval_shape(lambda: jax.tree.map(jnp.asarray, tree)))
    assert read_metadata(tmp_path / "tree") == {"step": "3"}
    np.testing.assert_array_equal(
        jax.random.key_data(loaded.pop("key")), jax.random.key_data(tree.pop("key"))
    )
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(tree), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a, b)


def test_another_structure_is_refused(tmp_path):
    save_tree(tmp_path / "tree", {"a": jnp.ones(2)})
    with pytest.raises(RunError, match="another version or configuration"):
        load_tree(tmp_path / "tree", {"b": jnp.ones(2)})
    with pytest.raises(RunError, match="missing or damaged"):
        load_tree(tmp_path / "nothing", {"b": jnp.ones(2)})


def test_a_full_disk_leaves_the_old_file_and_a_clear_error(tmp_path):
    """A limit on file sizes stands in for the full disk: writing fails in the middle."""
    path = tmp_path / "file"
    atomic_write(path, b"old")
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom cocoa.files import atomic_write\n"
        "from cocoa.errors import RunError\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    atomic_write(Path(sys.argv[1]), b'new' * 1000)\n"
        "except RunError as error:\n    print(error)\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert "cannot be written" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_specifications_stand_beside_the_artefact(tmp_path):
    obtain(Store(str(tmp_path), Watcher()), Halving(), dataset="abc")
    path = next(tmp_path.glob("*.safetensors"))
    assert json.loads(read_metadata(path)["specification"]) == {"dataset": "abc"}
