"""NumPy's linear algebra by one thread."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

_LOCK = threading.Lock()  # the number of threads is the whole process's


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let NumPy's BLAS and LAPACK use one thread inside; other callers wait.

    More do not help with small matrices, wait for each other for seconds on a busy machine, and may change
    the last bits of a result.
    """
    with _LOCK, _libraries().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
