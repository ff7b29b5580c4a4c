"""Sync tools run in threads. A thread can't be stopped: one whose call has timed out or was cancelled runs on, its
result ignored, and is counted until it ends."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from anyio import CapacityLimiter, get_cancelled_exc_class, to_thread

_lock = Lock()
_left_behind = 0


def left_behind() -> int:
    """How many threads of this process run calls that nobody waits for any more."""
    return _left_behind


async def run_in_thread(function: Callable[..., Any], *arguments: Any, limiter: CapacityLimiter) -> Any:
    """The function's result. Cancelled, this returns at once and leaves the thread behind.

    Args:
        function: What is called.
        arguments: Its arguments.
        limiter: How many such calls may run at once.
    """
    call = _Call()

    def run() -> Any:
        call.begin()
        try:
            return function(*arguments)
        finally:
            call.end()

    try:
        return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=limiter)
    except get_cancelled_exc_class():
        call.abandon()
        raise


class _Call:
    def __init__(self) -> None:
        self._running = False
        self._abandoned = False

    def begin(self) -> None:
        with _lock:
            self._running = True

    def abandon(self) -> None:
        global _left_behind
        with _lock:
            if self._running:
                self._abandoned = True
                _left_behind += 1

    def end(self) -> None:
        global _left_behind
        with _lock:
            self._running = False
            if self._abandoned:
                _left_behind -= 1
