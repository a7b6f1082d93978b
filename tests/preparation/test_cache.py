"""The cache of artifacts, and the files that it is made of."""

import contextlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from support.paths import ROOT

from cocoa.errors import RunError
from cocoa.preparation.cache import Store, fingerprint
from cocoa.storage.files import atomic_write
from cocoa.storage.serialization import load_tree, read_metadata, save_tree


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
    template = {"x": jax.ShapeDtypeStruct((), jnp.float32)}
    return store.fit(
        "halving", specification, lambda: fit, template, lambda result: {"last": float(result["x"])}
    )


def test_a_fit_is_trained_once_and_then_found(tmp_path):
    first, second = Halving(), Halving()
    result, history, report = obtain(Store(str(tmp_path), Watcher()), first, a=1)
    assert float(result["x"]) == 1.0
    assert [epoch["x"] for epoch in history] == [16, 8, 4, 2]
    assert report == {"last": 1.0}
    assert obtain(Store(str(tmp_path), Watcher()), second, a=1) == (result, history, report)
    assert (first.epochs, second.epochs) == (4, 0)
    other = Halving()
    obtain(Store(str(tmp_path), Watcher()), other, a=2)
    assert other.epochs == 4


def test_a_fit_that_was_stopped_goes_on(tmp_path):
    first, second = Halving(), Halving()
    with pytest.raises(InterruptedError):
        obtain(Store(str(tmp_path), Watcher(stop_after=3)), first, a=1)
    result, history, _ = obtain(Store(str(tmp_path), Watcher()), second, a=1)
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
    result, *_ = obtain(Store(str(tmp_path), watcher), Halving(), a=1)
    assert float(result["x"]) == 1.0
    assert "built again" in watcher.said[0]


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the last byte of the last array
    path.write_bytes(content)


def rewritten(path, change, **metadata):
    """Write a file's arrays as `change` returns them, and its metadata with some exchanged."""
    arrays = {name: change(array) for name, array in safetensors.numpy.load_file(path).items()}
    safetensors.numpy.save_file(arrays, path, read_metadata(path) | metadata)


def without_checksum(path):
    metadata = {name: text for name, text in read_metadata(path).items() if name != "sha256"}
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, metadata)


def another(path):
    (other,) = {*path.parent.glob(f"*{path.suffix}")} - {path}
    path.write_bytes(other.read_bytes())


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def link_to_fifo(path):
    os.mkfifo(path.with_name("fifo"))
    path.unlink()
    path.symlink_to("fifo")


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


CHANGES = {
    "a flipped byte": flipped,
    "another type": lambda path: rewritten(path, lambda x: x.view(np.int32 if x.dtype == "f4" else "f4")),
    "another precision": lambda path: rewritten(path, lambda x: x.astype(np.float64)),
    "another shape": lambda path: rewritten(path, lambda x: np.stack([x, x])),
    "another history": lambda path: rewritten(path, lambda x: x, history="[]"),
    "no checksum": without_checksum,
    "no metadata": lambda path: safetensors.numpy.save_file(safetensors.numpy.load_file(path), path),
    "another artifact": another,
    "a FIFO": fifo,
    "a link to a FIFO": link_to_fifo,
    "a dangling link": dangling,
    "a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("suffix", [".partial", ".safetensors"])
def test_what_is_not_as_it_was_written_is_built_again(suffix, change, tmp_path):
    for number in (1, 2):
        stopped = Watcher(stop_after=3 if suffix == ".partial" else None)
        with contextlib.suppress(InterruptedError):
            obtain(Store(str(tmp_path), stopped), Halving(), a=number)
    path = (tmp_path / f"halving-{fingerprint({'a': 1})}").with_suffix(suffix)
    change(path)
    watcher, fit = Watcher(), Halving()
    result, history, report = obtain(Store(str(tmp_path), watcher), fit, a=1)
    assert fit.epochs == 4
    assert float(result["x"]) == 1.0
    assert [epoch["x"] for epoch in history] == [16, 8, 4, 2]
    assert len(watcher.said) == 1
    assert str(path) in watcher.said[0]
    assert watcher.said[0].endswith("It is built again.")
    watcher, fit = Watcher(), Halving()
    assert obtain(Store(str(tmp_path), watcher), fit, a=1) == (result, history, report)
    assert (watcher.said, fit.epochs) == ([], 0)


def test_a_folder_in_place_of_an_artifact_is_told(tmp_path):
    path = (tmp_path / f"halving-{fingerprint({'a': 1})}").with_suffix(".safetensors")
    path.mkdir()
    with pytest.raises(RunError, match=f"{path} cannot be written"):
        obtain(Store(str(tmp_path), Watcher()), Halving(), a=1)


@contextlib.contextmanager
def read_only(folder):
    """Let nothing be written into a folder; root, who may write anywhere, is nobody meanwhile."""
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.geteuid() and above != Path(above.anchor):
            above.chmod(above.stat().st_mode | 0o055)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_cache_that_cannot_be_written_to_is_read(tmp_path):
    cache = tmp_path / "cache"
    made = obtain(Store(str(cache), Watcher()), Halving(), a=1)
    for lock in cache.glob("*.lock"):
        lock.unlink()
    with read_only(cache):
        watcher, fit = Watcher(), Halving()
        assert obtain(Store(str(cache), watcher), fit, a=1) == made
        assert (watcher.said, fit.epochs) == ([], 0)
        with pytest.raises(RunError, match=r"you may not write there .*cache_dir="):
            obtain(Store(str(cache), watcher), fit, a=2)
        assert fit.epochs == 0


def test_a_lock_of_somebody_else_does_not_keep_from_reading(tmp_path):
    made = obtain(Store(str(tmp_path), Watcher()), Halving(), a=1)
    path = tmp_path / f"halving-{fingerprint({'a': 1})}.lock"
    path.unlink(missing_ok=True)
    path.mkdir()  # which root, too, cannot open
    assert obtain(Store(str(tmp_path), Watcher()), Halving(), a=1) == made


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
    assert read_metadata(tmp_path / "tree", verified=True)["step"] == "3"
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
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from cocoa.storage.files import atomic_write\n"
        "from cocoa.errors import RunError\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    atomic_write(Path(sys.argv[1]), b'new' * 1000)\n"
        "except RunError as error:\n    print(error)\n"
    )
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert "cannot be written" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_specifications_stand_beside_the_artifact(tmp_path):
    obtain(Store(str(tmp_path), Watcher()), Halving(), dataset="abc")
    path = next(tmp_path.glob("*.safetensors"))
    assert json.loads(read_metadata(path)["specification"]) == {"dataset": "abc"}


def of_header(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(dtype="F32", shape=(1,), end=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, end]}


HOSTILE = {
    "empty": b"",
    "text": b"text" * 100,
    "size of petabytes": of_header(b"{}", size=2**50),
    "all bits": of_header(b"{}", size=2**64 - 1),
    "no mapping": of_header(b"[]"),
    "deep": of_header(b'{"a":' * 3000),
    "not UTF-8": of_header(b'{"__metadata__": {"\xff": "a"}}'),
    "half a surrogate": of_header(b'{"__metadata__": {"a": "\\ud800"}}'),
    "numbers as metadata": of_header({"__metadata__": {"a": 1}}),
    "list of metadata": of_header({"__metadata__": ["a"]}),
    "bfloat16": of_header({"['a']": tensor("BF16", (2,))}, b"1234"),
    "float8": of_header({"['a']": tensor("F8_E4M3", (4,))}, b"1234"),
    "unknown type": of_header({"['a']": tensor("X9")}, b"1234"),
    "overflow": of_header({"['a']": tensor(shape=(2**62, 4))}, b"1234"),
    "hundred axes": of_header({"['a']": tensor(shape=(1,) * 100)}, b"1234"),
    "huge and empty": of_header({"['a']": tensor(shape=(0, 2**63), end=0)}),
    "negative": of_header({"['a']": tensor(shape=(-1,))}, b"1234"),
    "too long": of_header({"['a']": tensor()}, b"12345678"),
    "too short": of_header({"['a']": tensor()}, b"12"),
    "names that rewrite the screen": of_header({"\x1b[2J" * 9000: tensor()}, b"1234"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(content, tmp_path):
    path = tmp_path / "tree"
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        load_tree(path, {"a": jnp.ones(1)})
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()
    with contextlib.suppress(RunError):
        assert isinstance(read_metadata(path, verified=True), dict)


def test_a_size_of_zero_in_a_template_stands_for_any(tmp_path):
    save_tree(tmp_path / "tree", {"table": np.ones((5, 3), np.float32), "vector": np.ones(3, np.float32)})

    def template(table, vector):
        return {"table": np.ones(table, np.float32), "vector": np.ones(vector, np.float32)}

    assert load_tree(tmp_path / "tree", template((0, 3), 3))["table"].shape == (5, 3)
    for wrong in (template((0, 2), 3), template((0, 5, 3), 3), template((0, 3), 2)):
        with pytest.raises(RunError, match="does not fit the configuration"):
            load_tree(tmp_path / "tree", wrong)
    with pytest.raises(RunError, match=r"\['table'\] has \(5, 3\) there, and should have \(2, 3\)"):
        load_tree(tmp_path / "tree", template((2, 3), 3))


def test_every_bit_counts(tmp_path):
    """What a flipped bit leaves readable at all differs from the checksum, or from the template."""
    path, tree = tmp_path / "tree", {"a": np.arange(5, dtype=np.float32), "b": np.float32([np.nan, np.inf])}
    save_tree(path, tree, {"step": "3"})
    content = path.read_bytes()
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(RunError):
            load_tree(path, tree)
