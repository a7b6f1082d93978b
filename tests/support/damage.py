"""Damaged files of many layouts; as a program, it loads thousands of them with bounded memory and time.

    python -m support.damage <number of cases> [first case]

A crash, a hang or an error that is no DataError ends it with another status than 0, and leaves the file.
"""

import faulthandler
import io
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
from support.columns import ROWS, columns

from cocoa.data import load
from cocoa.errors import DataError

SECONDS = 20
"""What the load of a small file may take on a slow machine."""
MEMORY = 1 << 30
"""Bytes that loading small files may take beside those of the imported libraries."""
_LAYOUTS = {
    "contiguous": ({}, {}),
    "gzip": ({}, {"compression": "gzip"}),
    "shuffled": ({}, {"compression": "gzip", "shuffle": True, "fletcher32": True}),
    "growing": ({}, {"chunks": (7,), "maxshape": (None,)}),
    "latest": ({"libver": "latest"}, {"chunks": (7,), "compression": "gzip"}),
    "latest growing": ({"libver": "latest"}, {"chunks": (7,), "maxshape": (None,)}),
    "lzf": ({}, {"compression": "lzf"}),
    "user block": ({"userblock_size": 512}, {}),
}


def whole_files():
    """Return the bytes of files of every layout, by their names."""
    files = {}
    for name, (of_file, of_array) in _LAYOUTS.items():
        content = io.BytesIO()
        with h5py.File(content, "w", **of_file) as file:
            for key, column in columns().items():
                options = {
                    k: v + column.shape[1:] if isinstance(v, tuple) else v for k, v in of_array.items()
                }
                file.create_dataset(key, data=column, **options)
            _add_others(file)
        files[f"{name}.hdf5"] = content.getvalue()
    for name, save in (("stored", np.savez), ("packed", np.savez_compressed)):
        content = io.BytesIO()
        save(content, **columns(), infos=np.zeros((ROWS, 2)), done=np.zeros(ROWS, bool), s=np.array(["x"]))
        files[f"{name}.npz"] = content.getvalue()
    return files


def _add_others(file):
    """Add what files have beside the columns."""
    file["infos/qpos"] = np.zeros((ROWS, 3))
    file["metadata/algorithm"] = "SAC"
    file["starts_here"] = np.arange(ROWS) % 7 == 6
    file["link"], file["loop"] = h5py.SoftLink("/infos/qpos"), h5py.SoftLink("/loop")
    file["texts"] = np.array(["a", "bb"], dtype=h5py.string_dtype())
    file["kinds"] = np.zeros(ROWS, h5py.enum_dtype({"no": 0, "yes": 1}, basetype="i1"))
    file.attrs["env_id"] = "Pendulum-v1"
    file.attrs["reference"] = file["rewards"].ref


def damaged(rng, content):
    """Return content with up to eight damages: bytes, bits, sizes and addresses, blocks, and its end."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        size = len(content)
        place = int(rng.integers(0, size if rng.random() < 0.5 else min(size, 8192)))
        kind = int(rng.integers(0, 8))
        if kind == 0:
            content[place] = int(rng.integers(256))
        elif kind == 1:
            content[place] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            number = int(rng.choice([0, 1, 2**63 - 1, 2**31, size, place]))
            content[place & ~7 : (place & ~7) + 8] = number.to_bytes(8, "little")
        elif kind == 3:
            content[place : place + 8] = b"\xff" * 8
        elif kind == 4:
            content[place : place + 4] = int(rng.integers(2**32)).to_bytes(4, "little")
        elif kind == 5:
            source, length = int(rng.integers(0, size)), int(rng.integers(1, 128))
            content[place : place + length] = content[source : source + length]
        elif kind == 6:
            length = len(content[place : place + int(rng.integers(1, 64))])
            content[place : place + length] = bytes(length)
        elif rng.random() < 0.2:
            content = content[: max(8, place)]
    return bytes(content)


def damaged_members(rng, content):
    """Return an .npz file with damage in its members, whose checksums fit."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(changed, "w") as other:
        for name in archive.namelist():
            member = archive.read(name)
            other.writestr(name, damaged(rng, member[:200]) + member[200:] if rng.random() < 0.4 else member)
    return changed.getvalue()


def check(path):
    """Load a file; return whether it was refused. Raises whatever is not a DataError of one line."""
    try:
        load(path)
    except DataError as error:
        message = str(error)
        if "\n" in message or len(message) > 1500 or not message.isprintable():
            raise AssertionError(f"not a sentence: {message[:2000]!r}") from error
        return True
    return False


def limit_memory():
    """Let this process take no more than `MEMORY` bytes beside what it has."""
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def main(count, first=0):
    """Load damaged files, `count` in all; print how many were refused."""
    warnings.simplefilter("ignore")
    limit_memory()
    files, refused = whole_files(), 0
    with tempfile.TemporaryDirectory() as folder:
        for case in range(first, first + count):
            rng, name = np.random.default_rng(case), list(files)[case % len(files)]
            damage = damaged_members if name.endswith("npz") and rng.random() < 0.7 else damaged
            path = Path(folder) / f"{case}-{name}"
            path.write_bytes(damage(rng, files[name]))
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                refused += check(path)
            except BaseException:
                path.rename(Path(tempfile.gettempdir()) / path.name)
                print(f"case {case}, {name}, is kept in {tempfile.gettempdir()}", file=sys.stderr)
                raise
            faulthandler.cancel_dump_traceback_later()
            path.unlink()
    print(f"{refused} of {count} were refused")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
