"""Which failures of a tool are tried again."""

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.error import URLError

import httpx
import pytest
from langchain_core.tools import StructuredTool

from agent.executor.retries import FIRST_DELAY, LONGEST_DELAY, delay_before_retry, tries_of


def http_error(status: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://example.org")
    response = httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return httpx.HTTPStatusError("failed", request=request, response=response)


def tool_with(**metadata: Any) -> StructuredTool:
    return StructuredTool.from_function(lambda: None, name="t", description="t", metadata=metadata)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        socket.gaierror("no such host"),
        URLError(ConnectionRefusedError()),
        httpx.ConnectError("x"),
        httpx.ReadTimeout("x"),
        *(http_error(status) for status in (429, 500, 503, 507, 520, 524)),
        http_error(429, retry_after="nan"),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    delay = delay_before_retry(error, 1)
    assert delay is not None
    assert FIRST_DELAY / 2 <= delay <= FIRST_DELAY


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        FileNotFoundError("x"),
        URLError("unknown url type"),
        httpx.UnsupportedProtocol("ftp"),
        *(http_error(status) for status in (401, 404, 501, 505)),
    ],
)
def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    assert delay_before_retry(error, 1) is None


def test_each_try_waits_longer_up_to_a_limit() -> None:
    delays = [delay_before_retry(TimeoutError(), tries) or 0 for tries in range(1, 12)]
    assert delays[3] > delays[1] > delays[0]
    assert max(delays) <= LONGEST_DELAY


def test_the_server_says_how_long_to_wait() -> None:
    assert delay_before_retry(http_error(429, retry_after="7"), 1) == 7
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)
    assert 5 < (delay_before_retry(http_error(429, retry_after=soon), 1) or 0) <= 10


def test_a_server_that_asks_for_too_long_is_not_waited_for() -> None:
    assert delay_before_retry(http_error(429, retry_after="3600"), 1) is None


def test_a_tool_may_have_its_own_number_of_retries() -> None:
    assert tries_of(tool_with(), 2) == 3
    assert tries_of(tool_with(retries=0), 2) == 1


def test_a_tool_with_side_effects_is_tried_once() -> None:
    assert tries_of(tool_with(side_effects=True), 2) == 1
    assert tries_of(tool_with(side_effects=True, retries=1), 2) == 2
