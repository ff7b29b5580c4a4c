"""What a busy moment leaves behind goes back to the system."""

import ctypes
import gc
import sys
from contextlib import suppress
from typing import Any

_clear_caches: Any = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
_trim: Any = None
with suppress(OSError, TypeError, AttributeError):
    _trim = ctypes.CDLL(None).malloc_trim  # glibc's; others return memory by themselves, or not at all


def return_memory() -> None:
    """Collect what runs left in cycles, and return what is free. With many runs behind it, that takes a second: left
    alone, Python would collect some time during the next ones, with as much again in use.

    One object is enough to keep what is around it: a page with `PYTHONMALLOC=malloc`, which `make serve` and the image
    set, and else a megabyte. Thousands of names are kept so by the cache of attributes that were looked up.
    """
    gc.collect()
    _clear_caches()
    if _trim:
        _trim(0)
