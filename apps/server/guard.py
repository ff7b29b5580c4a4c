"""What stands before every request: who may ask, how much, and that nothing runs on for a client who has gone."""

import asyncio
import base64
import hmac
import ipaddress
import json
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, NoReturn

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.server.encoding import to_json
from apps.server.errors import Failure, RefusedError, explain
from apps.server.limits import Limits

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # nobody shall have an approval clicked unseen
    "Referrer-Policy": "no-referrer",
}
OPEN_PATHS = frozenset({"/healthz"})
FORWARDING = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"})
"""Headers of a proxy, beside `X-Forwarded-…` and those of Cloudflare, `CF-…`."""

MAX_DEPTH = 100
"""How many levels of lists and objects a body may have."""

MAX_VALUES = 10_000
"""How many values may be in them: each of a wrong kind is an error of its own."""

LARGE_BYTES = 10_000
"""How long a body is that takes its time to be read."""

NO_KEY = "A key is wanted: Authorization: Bearer …, X-API-Key: …, or the password of HTTP Basic."
WRONG_KEY = "This is not the server's key."
NOT_LOCAL = (
    "Without LLM_COMPILER_API_KEY this server answers only its own machine, as localhost, 127.0.0.1 or [::1]. "
    "Set a key to serve others, or through a proxy."
)
FORWARDED = (
    "This request may have come through a proxy ({sign}). Without LLM_COMPILER_API_KEY this server answers only its "
    "own machine, and over HTTP/1.1; set a key to serve others."
)
WRONG_TYPE = "The body must be JSON, with Content-Type: application/json."
NOT_JSON = "The body is not JSON."
TOO_DEEP = f"The body has more than {MAX_DEPTH} levels of lists and objects."
TOO_MANY_VALUES = f"The body has more than {MAX_VALUES:,} values in its lists and objects."
TOO_LONG = "The body has more than {most:,} bytes (LLM_COMPILER_MAX_REQUEST_BYTES)."
TOO_SLOW = "The body did not arrive within {seconds:g} s (LLM_COMPILER_CLIENT_TIMEOUT)."
TOO_MANY = "This server is answering {most} requests already (LLM_COMPILER_MAX_RUNS). Try again in a moment."


class _GoneError(Exception):
    """The client has gone, or takes nothing more."""


class Guard:
    """ASGI middleware.

    1. Without a key of its own, the server answers only its own machine: neither another one's address, nor a web page
       that has had a name of its own point here, nor who comes through a proxy, gets through. With one, every request
       must bring it.
    2. A POST starts a run. Its body must be JSON (which a form on a foreign web page can't send), neither too long nor
       too deep, and there must be room.
    3. When the client goes away, or doesn't read on, the run is cancelled, and with it its tools and model calls; one
       that was started to go on is only left.
    4. What fails is told in a sentence.
    """

    def __init__(self, app: ASGIApp, limits: Callable[[], Limits]) -> None:
        """
        Args:
            app: What is guarded.
            limits: Gives the limits; they are known when the server has started.
        """
        self._app = app
        self._limits = limits
        self._running = 0
        self._large = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        if scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
        elif refusal := self._refuse(scope):
            await refusal(scope, receive, send)
        elif scope["method"] == "POST" and _is_served(scope):
            await self._run(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if (key := self._limits().api_key) is None:
            if sign := _sign_of_a_proxy(scope, headers):
                return _answer(403, FORWARDED.format(sign=sign), scope)
            address, _ = scope.get("server") or ("", None)
            return None if _is_loopback(address) and _is_loopback(_host(headers)) else _answer(403, NOT_LOCAL, scope)
        given = _key(headers)
        if given is None:
            # Browsers ask for the password then, and send it along from there on.
            return _answer(401, NO_KEY, scope, {"WWW-Authenticate": 'Basic realm="LLMCompiler", charset="UTF-8"'})
        return None if hmac.compare_digest(given, key.get_secret_value().encode()) else _answer(401, WRONG_KEY, scope)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = self._limits().max_runs
        if self._running >= most:
            await _answer(503, TOO_MANY.format(most=most), scope)(scope, receive, send)
            return
        self._running += 1
        try:
            body = await self._read(scope, receive)
        except RefusedError as error:
            # Not with "Connection: close": uvicorn would reset what is unread, and the client might lose the answer.
            await _answer(error.status, str(error), scope)(scope, receive, send)
        except _GoneError:
            pass
        else:
            await self._watched(scope, body, receive, send)
        finally:
            self._running -= 1

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        limits = self._limits()
        headers = Headers(scope=scope)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(415, WRONG_TYPE)
        body = bytearray()
        declared = headers.get("content-length", "")
        too_long = declared.isdecimal() and int(declared) > limits.max_request_bytes
        try:
            async with asyncio.timeout(limits.client_timeout):
                more = not too_long
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    too_long = len(body) > limits.max_request_bytes
                    more = more and not too_long
        except TimeoutError:
            raise RefusedError(408, TOO_SLOW.format(seconds=limits.client_timeout)) from None
        if too_long:
            raise RefusedError(413, TOO_LONG.format(most=limits.max_request_bytes))
        if len(body) > LARGE_BYTES:
            async with self._large:  # one in a round of the event loop: the requests of others get their turn
                await asyncio.sleep(0)
        return to_json(_read_json(body))  # so that all who read it read the same: UTF-8, and no half of a character

    async def _watched(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answer the request as long as its client is there."""
        answer = _Answering(self._app, send, self._limits().client_timeout)
        answering = asyncio.create_task(answer.run(scope, body))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if answer.complete:  # uvicorn says that a client has gone also when it has everything
                await answering
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)


class _Answering:
    """An answer on its way to the client."""

    def __init__(self, app: ASGIApp, send: Send, timeout: float) -> None:
        self._app = app
        self._send = send
        self._timeout = timeout
        self._begun = False
        self.complete = False
        """Whether the client has been sent everything."""

    async def run(self, scope: Scope, body: bytes) -> None:
        """Have the request answered; what it raises is told to the client, if nothing else has been yet."""
        unread = [body]

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await asyncio.Event().wait()  # a client who leaves is noticed elsewhere
            raise AssertionError("nothing sets this event")

        try:
            await self._app(scope, receive, self._pass_on)
        except _GoneError:
            pass
        except Exception as error:  # noqa: BLE001 — whatever goes wrong is told to the client
            failure = explain(error)
            if not self._begun:
                await _of(failure, scope)(scope, receive, self._pass_on)
            elif not self.complete:  # LangServe has told it in the stream
                await self._pass_on({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, message: Message) -> None:
        self._begun = True
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        try:
            async with asyncio.timeout(self._timeout):
                await self._send(message)
        except TimeoutError:
            raise _GoneError from None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return send_with_headers


def _is_served(scope: Scope) -> bool:
    """Whether there is something to POST to; if not, the app says so."""
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)


def _read_json(body: bytearray) -> Any:
    """
    Raises:
        RefusedError: It is not JSON, or what uses it later could not cope with it.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise RefusedError(422, TOO_DEEP) from None
    except ValueError:  # also a number of too many digits, and bytes that are no text
        raise RefusedError(422, NOT_JSON) from None
    level: list[Any] = [[value]]
    values = 0
    for _ in range(MAX_DEPTH + 1):
        values += sum(map(len, level))
        if values > MAX_VALUES:
            raise RefusedError(422, TOO_MANY_VALUES)
        level = [inner for value in level for inner in _inside(value) if isinstance(inner, dict | list)]
        if not level:
            return value
    raise RefusedError(422, TOO_DEEP)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    return float(number) if isfinite(float(number)) else _refuse_constant(number)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _sign_of_a_proxy(scope: Scope, headers: Headers) -> str | None:
    if scope["http_version"] == "1.0":  # as nginx asks, which adds no header unless it is told to
        return "HTTP/1.0"
    return next((name for name in headers if name in FORWARDING or name.startswith(("x-forwarded-", "cf-"))), None)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _answer(status: int, message: str, scope: Scope, headers: dict[str, str] | None = None) -> Response:
    return _of(Failure(status, message), scope, headers)


def _of(failure: Failure, scope: Scope, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(failure.body(scope["path"]), failure.status, {**failure.headers, **(headers or {})})


def _key(headers: Headers) -> bytes | None:
    """The key that a request brings."""
    if (key := headers.get("x-api-key")) is not None:
        return key.encode("latin-1")
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given.strip().encode("latin-1")
    if kind.lower() == "basic":
        try:
            return base64.b64decode(given, validate=True).partition(b":")[2]
        except ValueError:
            return b""
    return None


def _host(headers: Headers) -> str:
    """The name under which the client knows this server, without the port."""
    host = headers.get("host", "")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_listen(host: str, limits: Limits) -> bool:
    """Whether the server may listen at this address: beyond loopback only with a key."""
    return limits.api_key is not None or _is_loopback(host)
