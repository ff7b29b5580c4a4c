"""Which failures of a tool are worth another try, and after how long."""

import math
import random
import socket
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import URLError

from langchain_core.tools import BaseTool

from agent.tooling.metadata import metadata_of

FIRST_DELAY = 0.5
"""Seconds before the first further try; each one after it waits up to twice as long as the one before."""

LONGEST_DELAY = 30.0
"""Seconds. A server that asks for more is not waited for."""

_STATUSES = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})
"""Those of a busy or broken server: 501 and 505 say that it never does what it was asked."""

_CONNECTION_ERRORS = frozenset(
    # by name, since these libraries need not be installed: httpx, requests, aiohttp, openai
    {"TransportError", "ConnectTimeout", "ConnectionError", "Timeout", "ClientConnectionError", "APIConnectionError"}
)


def tries_of(tool: BaseTool, default: int) -> int:
    """How often a call of the tool may be tried: once and its `metadata["retries"]`, or else the default number. A tool
    with `metadata["side_effects"]` may have done its work although it failed, and is not tried again by default."""
    metadata = metadata_of(tool)
    if metadata.retries is not None:
        return 1 + metadata.retries
    return 1 if metadata.side_effects else 1 + default


def delay_before_retry(error: Exception, tries: int) -> float | None:
    """How many seconds to wait before another try; None if it would fail in the same way.

    Connection errors, timeouts of the network and the HTTP statuses of a busy or broken server are worth one. A
    server's `Retry-After` is kept to.

    Args:
        error: What the tool raised.
        tries: How often it has been tried.
    """
    response: Any = getattr(error, "response", None)
    statuses = (
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(response, "status_code", None),
    )
    status = next((status for status in statuses if isinstance(status, int)), 0)
    if status >= 400:
        if status not in _STATUSES:
            return None
        asked = _retry_after(getattr(response, "headers", None) or getattr(error, "headers", None))
        if asked is not None:
            return asked if asked <= LONGEST_DELAY else None
    elif not _is_connection_error(error):
        return None
    longest = min(FIRST_DELAY * 2.0 ** (tries - 1), LONGEST_DELAY)
    return random.uniform(longest / 2, longest)


def _is_connection_error(error: Exception) -> bool:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ConnectionError | TimeoutError | socket.gaierror):
        return True
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & _CONNECTION_ERRORS) and "UnsupportedProtocol" not in kinds


def _retry_after(headers: Any) -> float | None:
    """The header's seconds, which it gives as a number or as a date."""
    if not hasattr(headers, "get"):
        return None
    text = headers.get("retry-after") or headers.get("Retry-After")
    with suppress(TypeError, ValueError):
        seconds = float(text)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    with suppress(TypeError, ValueError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return None
