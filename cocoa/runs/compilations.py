"""Which programs a run compiles, and how long each takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compilations_noted(note: Callable[[str], None]) -> Iterator[None]:
    """Call `note` with a sentence on each program that is compiled inside, or read from the cache.

    Programs are named as JAX names them: after the function, not after the shapes that it is compiled for.
    """

    def listen(event: str, duration_secs: float, **details: Any) -> None:
        if event == _EVENT:
            program = details.get("fun_name", "a program")
            note(f"Compiled {program}, or read it from the cache: {duration_secs:.3f} s")

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
