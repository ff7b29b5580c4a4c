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
    global _left_behind
    running = abandoned = False

    def run() -> Any:
        global _left_behind
        nonlocal running
        with _lock:
            running = True
        try:
            return function(*arguments)
        finally:
            with _lock:
                running = False
                _left_behind -= abandoned

    try:
        return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=limiter)
    except get_cancelled_exc_class():
        with _lock:
            abandoned = running
            _left_behind += abandoned
        raise
