"""The demo's stand-ins take the time of what they stand for, times the environment variable DEMO_LATENCY.

DEMO_LATENCY=0  (default) none
DEMO_LATENCY=1  0.6 to 1.4 s for a search in the embedded corpus, 0.3 s until the offline model begins to speak;
                the default where the command line shows a run
"""

import math
import os
from zlib import crc32

FIRST_TOKEN = 0.3
"""Seconds until a model begins to speak."""

NOT_A_FACTOR = "DEMO_LATENCY={value!r} is not a factor: set it to a number, such as 1, or to 0 for none."


def until_first_token() -> float:
    """Seconds that the offline model keeps silent.

    Raises:
        ValueError: DEMO_LATENCY is no factor.
    """
    return FIRST_TOKEN * _factor()


def of_search(query: str) -> float:
    """Seconds that a search takes; the same query always takes the same.

    Raises:
        ValueError: DEMO_LATENCY is no factor.
    """
    return (0.6 + 0.8 * (crc32(query.encode(errors="replace")) % 1000) / 1000) * _factor()


def _factor() -> float:
    value = os.environ.get("DEMO_LATENCY") or "0"
    try:
        factor = float(value)
    except ValueError:
        factor = -1
    if not 0 <= factor < math.inf:
        raise ValueError(NOT_A_FACTOR.format(value=value))
    return factor
