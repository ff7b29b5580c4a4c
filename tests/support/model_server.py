"""A scripted model behind a real OpenAI-compatible HTTP server, for tests and benchmarks.

The client under test is the real one; only the model's words are made up. What a test scripts is
what happens: a reply is a row of tokens in which gates, pauses and faults may stand, a request
that nobody scripted is answered with an error and fails the test, and so does a reply that nobody asked for.

    with ModelServer() as server:
        gate = Gate()
        server.script(planner=['1. search("K2")\\n2. join()'], joiner=[Reply(["8,", gate, "611 m"])])
        ...                            # run the agent against server.base_url
        await gate.reached()           # everything before the gate has been sent
        gate.open()
        await (await server.exchange(0, "joiner")).until_finished()
        server.check()                 # AssertionError on unexpected requests and unused replies
"""

import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.support import PATIENCE

ROLES = {
    "planner": "Write a plan",
    "joiner": "Answer the user's last question",
    "math": "Write one arithmetic expression",
}
"""How the system message of each of the agent's model calls begins."""

_TOKEN = re.compile(r"\s?[^\W\d]{1,8}|\s?\d{1,3}|[^\w\s]|\s")
_SECRET_HEADERS = {"authorization", "api-key", "x-api-key"}
_quoted = json.encoder.encode_basestring_ascii


def tokens_of(text: str) -> list[str]:
    """Cuts a text into tokens as a model would stream them. Punctuation stands alone; nothing is lost."""
    return _TOKEN.findall(text)


class _Watched:
    """State that one thread changes and any event loop waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self.__dict__.update(changes)
            for future in self._waiting:
                with contextlib.suppress(RuntimeError):  # the event loop of a test that has ended
                    future.get_loop().call_soon_threadsafe(_wake, future)

    async def until(self, fact: Callable[[], bool]) -> None:
        """Waits until `fact()` is true; it is asked again after each change."""
        while True:
            with self._lock:
                if fact():
                    return
                future = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
            try:
                await future
            finally:
                with self._lock:
                    self._waiting.discard(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Gate(_Watched):
    """A place in a reply where the stream stops until the test opens it. Works from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.visits = 0
        """How many replies have come to this gate."""
        self.is_open = False

    def open(self) -> None:
        """Lets every reply pass, now and later."""
        self._change(is_open=True)

    async def reached(self, visits: int = 1) -> None:
        """Waits until that many replies have come to this gate: all that stands before it has been sent."""
        await self.until(lambda: self.visits >= visits)

    async def _passed(self) -> None:
        self._change(visits=self.visits + 1)
        await self.until(lambda: self.is_open)


@dataclass(frozen=True)
class Pause:
    """The stream falls silent for a time, and the rest is that much later."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """The server drops the connection here."""

    reset: bool = True
    """True: TCP reset, as when a host dies. False: closed in order, but before the response is complete."""


@dataclass(frozen=True)
class Raw:
    """A `data:` line of the event stream, sent as it is; a reply that isn't streamed has it for its body."""

    data: str


@dataclass(frozen=True)
class End:
    """The response ends here, properly as HTTP goes, but without finish reason, usage and `[DONE]`."""


MALFORMED = Raw('{"id": "chatcmpl-1", "choices": [{"delta"')
"""A chunk that isn't JSON."""

Control = Gate | Pause | Cut | Raw | End
Content = str | Sequence[str | Control]


@dataclass(frozen=True)
class _Token:
    """One chunk of the stream. A tool call has one with its name, and one for each piece of its arguments."""

    kind: Literal["reasoning", "text", "call", "arguments"]
    text: str
    call: int = 0


def _joined(tokens: Sequence[_Token], kind: str, call: int = 0) -> str:
    return "".join(token.text for token in tokens if token.kind == kind and token.call == call)


@dataclass(frozen=True)
class Reply:
    """What the model says to one request. Reasoning comes first, then text, then tool calls."""

    text: Content = ""
    """A text, or texts with gates, pauses and faults between them. Empty: an empty completion."""
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | Content]] = ()
    """Pairs of a tool's name and its arguments. What isn't a mapping is sent as it is, valid JSON or not."""
    reasoning: Content = ""
    """The model's thoughts: `reasoning_content` in chat completions, an item of its own in responses."""
    first_token: float = 0.0
    """Seconds from the request to the first token."""
    per_token: float = 0.0
    """Seconds from each token to the next, by the absolute clock: a late one does not delay the next."""
    usage: bool = True
    """Whether token usage is reported, where the request asks for it."""
    finish_reason: str | None = None
    """Default: `tool_calls` when there are any, else `stop`."""
    split: bool = True
    """False: each string of `text`, `reasoning` and arguments is one token as it stands."""

    @cached_property
    def steps(self) -> tuple[_Token | Control, ...]:
        """All that is to be sent or done, in order."""
        steps = [*self._steps("reasoning", self.reasoning), *self._steps("text", self.text)]
        for call, (name, arguments) in enumerate(self.tool_calls):
            content = json.dumps(arguments) if isinstance(arguments, Mapping) else arguments
            steps += [_Token("call", name, call), *self._steps("arguments", content, call)]
        return tuple(steps)

    def _steps(
        self, kind: Literal["reasoning", "text", "arguments"], content: Content, call: int = 0
    ) -> Iterator[_Token | Control]:
        for part in (content,) if isinstance(content, str) else content:
            if isinstance(part, str):
                for token in tokens_of(part) if self.split else filter(None, [part]):
                    yield _Token(kind, token, call)
            else:
                yield part

    @cached_property
    def tokens(self) -> tuple[_Token, ...]:
        """The steps that are tokens."""
        return tuple(step for step in self.steps if isinstance(step, _Token))


@dataclass(frozen=True)
class HttpError:
    """An answer that is an HTTP error in OpenAI's format."""

    status: int
    message: str = "scripted error"
    retry_after: float | None = None
    """Seconds to wait before another try, sent as `Retry-After` and as OpenAI's own `retry-after-ms`."""

    def response(self) -> Response:
        kind = {429: "rate_limit_error"}.get(
            self.status, "server_error" if self.status >= 500 else "invalid_request_error"
        )
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(self.status)
        headers = {}
        if self.retry_after is not None:
            headers = {
                "retry-after": f"{self.retry_after:g}",
                "retry-after-ms": f"{self.retry_after * 1000:g}",
            }
        error = {"message": self.message, "type": kind, "param": None, "code": code}
        return JSONResponse({"error": error}, self.status, headers)


@dataclass(frozen=True)
class Body:
    """An answer that is this body, whatever the request asks for."""

    text: str
    status: int = 200
    media_type: str = "application/json"

    def response(self) -> Response:
        return Response(self.text, self.status, media_type=self.media_type)


def pieces(*deltas: dict[str, Any]) -> Reply:
    """A reply whose stream has these deltas, as they are."""
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return Reply([Raw(json.dumps({**chunk, "choices": [{"index": 0, "delta": delta}]})) for delta in deltas])


Answer = Reply | HttpError | Body | str
"""What a script holds; a string is a reply of this text."""


@dataclass(frozen=True)
class ChatRequest:
    """What reached the model."""

    api: Literal["chat", "responses"]
    body: dict[str, Any]
    headers: dict[str, str]
    """Without the one that carries the key."""
    received: float
    """Unix time."""

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """`messages`, or what stands for them in the Responses API."""
        messages = self.body.get("messages", self.body.get("input", []))
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if "instructions" in self.body:
            messages = [{"role": "system", "content": self.body["instructions"]}, *messages]
        return list(messages)

    @property
    def tools(self) -> list[dict[str, Any]]:
        """Name, description and parameters of each bound function."""
        return [tool.get("function", tool) for tool in self.body.get("tools", ())]

    @property
    def tool_names(self) -> list[str]:
        return [str(tool.get("name")) for tool in self.tools]

    @property
    def tool_choice(self) -> Any:
        return self.body.get("tool_choice")

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def stream_options(self) -> dict[str, Any]:
        return dict(self.body.get("stream_options") or {})

    @property
    def system(self) -> str:
        """Text of the system message, or the empty string."""
        return next((_text(m) for m in self.messages if m.get("role") in ("system", "developer")), "")

    @property
    def user(self) -> str:
        """Text of the last human message, or the empty string."""
        return next((_text(m) for m in reversed(self.messages) if m.get("role") == "user"), "")

    @property
    def role(self) -> str:
        """`planner`, `joiner`, `math`, or `other`: which of the agent's model calls this is."""
        return next((role for role, start in ROLES.items() if self.system.startswith(start)), "other")

    @property
    def is_planner(self) -> bool:
        return self.role == "planner"

    @property
    def is_joiner(self) -> bool:
        return self.role == "joiner"

    @property
    def is_math(self) -> bool:
        return self.role == "math"


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


class Exchange(_Watched):
    """One request and how far its reply has come. The server's thread writes, tests read and wait."""

    def __init__(self, request: ChatRequest, reply: Reply) -> None:
        super().__init__()
        self.id = uuid.uuid4().hex
        self.request = request
        self.reply = reply
        self.sent = 0
        """Tokens sent so far; of a reply that isn't streamed, tokens that the model has made so far."""
        self.state: Literal["running", "finished", "disconnected", "cut"] = "running"
        """`finished`: sent to its end; `disconnected`: the client went away; `cut`: a scripted `Cut` came."""
        self.first_token_at: float | None = None
        """Unix time."""
        self.ended_at: float | None = None
        """Unix time."""

    @property
    def finished(self) -> bool:
        return self.state == "finished"

    @property
    def disconnected(self) -> bool:
        return self.state == "disconnected"

    @property
    def sent_text(self) -> str:
        """The text, without reasoning and tool calls, of the tokens sent so far."""
        return _joined(self.reply.tokens[: self.sent], "text")

    @property
    def usage(self) -> dict[str, int]:
        """Tokens of the request's messages and of what has been sent."""
        prompt = sum(len(tokens_of(_text(message))) for message in self.request.messages)
        return {"input": prompt, "output": self.sent, "total": prompt + self.sent}

    async def until_sent(self, tokens: int) -> None:
        """Waits until that many tokens have been sent. Raises AssertionError if the reply ends before."""
        await self.until(lambda: self.sent >= tokens or self.state != "running")
        assert self.sent >= tokens, f"{self} before token {tokens}"

    async def until_finished(self) -> None:
        """Waits until all has been sent. Raises AssertionError if the reply ends in another way."""
        await self._until_ended("finished")

    async def until_disconnected(self) -> None:
        """Waits until the client has gone away. Raises AssertionError if the reply ends in another way."""
        await self._until_ended("disconnected")

    async def _until_ended(self, state: str) -> None:
        await self.until(lambda: self.state != "running")
        assert self.state == state, f"{self}, expected: {state}"

    def _count(self) -> None:
        if self.sent == 0:
            self.first_token_at = time.time()
        self._change(sent=self.sent + 1)

    def _end(self, state: Literal["finished", "disconnected", "cut"]) -> None:
        if self.state == "running":
            self._change(state=state, ended_at=time.time())

    def __repr__(self) -> str:
        progress = f"{self.sent} of {len(self.reply.tokens)} tokens"
        return f"<{self.request.role} exchange {self.state} after {progress}>"


class _ChatFormat:
    """How an exchange looks in `POST /v1/chat/completions`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._request, self._reply = exchange.request, exchange.reply
        self._with_usage = self._reply.usage and bool(self._request.stream_options.get("include_usage"))
        self._stamp = {
            "id": f"chatcmpl-{exchange.id}",
            "created": int(time.time()),
            "model": self._request.model,
        }
        head = json.dumps({**self._stamp, "object": "chat.completion.chunk"})[:-1]
        self._before = f'data: {head}, "choices": [{{"index": 0, "delta": '
        self._after = "}]" + (', "usage": null' if self._with_usage else "") + "}\n\n"

    def _chunk(self, delta: str, finish_reason: str = "null") -> bytes:
        """One chunk, of two pieces of JSON. What is the same for every token has been put together before."""
        return f'{self._before}{delta}, "finish_reason": {finish_reason}{self._after}'.encode()

    def opening(self) -> bytes:
        return self._chunk('{"role": "assistant", "content": ""}')

    def token(self, token: _Token) -> bytes:
        match token.kind:
            case "text":
                return self._chunk(f'{{"content": {_quoted(token.text)}}}')
            case "reasoning":
                return self._chunk(f'{{"reasoning_content": {_quoted(token.text)}}}')
            case "call":
                call = {"index": token.call, **self._call(token, "")}
            case "arguments":
                call = {"index": token.call, "function": {"arguments": token.text}}
        return self._chunk(json.dumps({"tool_calls": [call]}))

    def closing(self) -> bytes:
        closing = self._chunk("{}", _quoted(self._finish_reason))
        if self._with_usage:
            usage = {**self._stamp, "object": "chat.completion.chunk", "choices": [], "usage": self._usage}
            closing += f"data: {json.dumps(usage)}\n\n".encode()
        return closing + b"data: [DONE]\n\n"

    def whole(self) -> dict[str, Any]:
        tokens = self._reply.tokens
        message: dict[str, Any] = {"role": "assistant", "content": _joined(tokens, "text")}
        if calls := [token for token in tokens if token.kind == "call"]:
            message["tool_calls"] = [self._call(c, _joined(tokens, "arguments", c.call)) for c in calls]
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        whole = {**self._stamp, "object": "chat.completion", "choices": [choice]}
        return {**whole, "usage": self._usage} if self._reply.usage else whole

    def _call(self, token: _Token, arguments: str) -> dict[str, Any]:
        function = {"name": token.text, "arguments": arguments}
        return {"id": f"call_{self._exchange.id}_{token.call}", "type": "function", "function": function}

    @property
    def _finish_reason(self) -> str:
        return self._reply.finish_reason or ("tool_calls" if self._reply.tool_calls else "stop")

    @property
    def _usage(self) -> dict[str, int]:
        usage = self._exchange.usage
        return {
            "prompt_tokens": usage["input"],
            "completion_tokens": usage["output"],
            "total_tokens": usage["total"],
        }


class _ResponsesFormat:
    """How an exchange looks in `POST /v1/responses`: items open, grow and close."""

    _EVENTS: Final[Mapping[str, tuple[str, str, dict[str, int]]]] = {
        "reasoning": ("reasoning_summary_text", "text", {"summary_index": 0}),
        "text": ("output_text", "text", {"content_index": 0}),
        "arguments": ("function_call_arguments", "arguments", {}),
    }

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._created = int(time.time())
        self._output: list[dict[str, Any]] = []
        self._item = ("", 0)
        self._name = self._text = ""
        self._sent = 0

    def opening(self) -> bytes:
        return self._event("created", response=self._response("in_progress"))

    def token(self, token: _Token) -> bytes:
        item = ("arguments" if token.kind == "call" else token.kind, token.call)
        events = b""
        if item != self._item:
            events = self._close_item()
            self._item, self._name, self._text = item, token.text, ""
            self._output.append(self._described("in_progress"))
            events += self._item_event("output_item.added", item=self._output[-1])
            if token.kind == "reasoning":
                part = {"type": "summary_text", "text": ""}
                events += self._item_event("reasoning_summary_part.added", summary_index=0, part=part)
        if token.kind == "call":
            return events
        self._text += token.text
        name, _, place = self._EVENTS[token.kind]
        return events + self._item_event(f"{name}.delta", delta=token.text, **place)

    def closing(self) -> bytes:
        return self._close_item() + self._event("completed", response=self._response("completed"))

    def whole(self) -> dict[str, Any]:
        for token in self._exchange.reply.tokens:
            self.token(token)
        self._close_item()
        return self._response("completed")

    def _close_item(self) -> bytes:
        if not self._output:
            return b""
        name, key, place = self._EVENTS[self._item[0]]
        self._output[-1] = self._described("completed")
        done = self._item_event(f"{name}.done", **{key: self._text}, **place)
        return done + self._item_event("output_item.done", item=self._output[-1])

    def _described(self, status: str) -> dict[str, Any]:
        kind, call = self._item
        key = f"{self._exchange.id}_{call}"
        item: dict[str, Any]
        match kind:
            case "reasoning":
                item = {"id": f"rs_{key}", "type": "reasoning"}
                item["summary"] = [{"type": "summary_text", "text": self._text}] if self._text else []
            case "text":
                item = {"id": f"msg_{key}", "type": "message", "role": "assistant", "status": status}
                part = {"type": "output_text", "text": self._text, "annotations": []}
                item["content"] = [part] if self._text else []
            case _:
                item = {
                    "id": f"fc_{key}",
                    "type": "function_call",
                    "call_id": f"call_{key}",
                    "status": status,
                }
                item |= {"name": self._name, "arguments": self._text}
        return item

    def _event(self, name: str, **data: Any) -> bytes:
        event = json.dumps({"type": f"response.{name}", "sequence_number": self._sent, **data})
        self._sent += 1
        return f"event: response.{name}\ndata: {event}\n\n".encode()

    def _item_event(self, name: str, **data: Any) -> bytes:
        return self._event(name, item_id=self._output[-1]["id"], output_index=len(self._output) - 1, **data)

    def _response(self, status: str) -> dict[str, Any]:
        count = self._exchange.usage
        usage = {
            "input_tokens": count["input"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": count["output"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": count["total"],
        }
        return {
            "id": f"resp_{self._exchange.id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "model": self._exchange.request.model,
            "output": self._output,
            "error": None,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage if self._exchange.reply.usage and status == "completed" else None,
        }


class _Uvicorn(uvicorn.Server):
    """Tells when it listens, and on which event loop; leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self.loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.listening.set()


@dataclass(eq=False)
class ModelServer:
    """An OpenAI-compatible server on a free port of 127.0.0.1, in a thread of its own. A context manager.

    A request is answered by the first reply left in the script of its role, else by the first left in the
    script for any role, else by `handler`; else it is unexpected: it gets an error that clients do not try
    again, and `check` fails.
    """

    keep_alive: bool = False
    """Whether connections are used again. Not in tests: LangChain keeps one HTTP client for all event loops,
    and a connection of a loop that is gone would break the next test."""
    handler: Callable[[ChatRequest], Answer] | None = None
    """Answers what no script answers. Called in the server's thread; must not block."""
    exchanges: list[Exchange] = field(default_factory=list, init=False)
    """Every request that got a `Reply`, in the order of arrival."""
    requests: list[ChatRequest] = field(default_factory=list, init=False)
    """Every request, in the order of arrival."""

    def __post_init__(self) -> None:
        self._scripts: dict[str, deque[Answer]] = {role: deque() for role in ("any", *ROLES)}
        self._problems: list[str] = []
        self._arrivals = _Watched()
        self._running: set[asyncio.Task[Any]] = set()

    # For tests: what the model says, and what it was asked

    def script(
        self,
        *replies: Answer,
        planner: Sequence[Answer] = (),
        joiner: Sequence[Answer] = (),
        math: Sequence[Answer] = (),
    ) -> None:
        """Adds replies, used in this order: `replies` for any request, the others for their role alone."""
        for role, more in (("any", replies), ("planner", planner), ("joiner", joiner), ("math", math)):
            self._scripts[role].extend(more)

    async def exchange(self, index: int, role: str | None = None) -> Exchange:
        """Waits for the exchange with this index, from 0, among all or among those of a role."""

        def found() -> list[Exchange]:
            return [e for e in self.exchanges if role is None or e.request.role == role]

        await self._arrivals.until(lambda: len(found()) > index)
        return found()[index]

    def check(self) -> None:
        """Raises AssertionError when a request was unexpected, a handler failed, or replies are left."""
        unused = [
            f"{len(replies)} replies for {role} requests were not used, the next is {replies[0]!r}"
            for role, replies in self._scripts.items()
            if replies
        ]
        if problems := [*self._problems, *unused]:
            raise AssertionError("model server: " + "; ".join(problems))

    def reset(self) -> None:
        """Drops every connection, and forgets scripts, handler and records."""
        asyncio.run_coroutine_threadsafe(self._drop_connections(), self._uvicorn.loop).result()
        for replies in self._scripts.values():
            replies.clear()
        self.handler = None
        # New lists: a test's own reference to the old ones stays what it was.
        self.exchanges, self.requests, self._problems = [], [], []

    # Life

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        # Sockets that it accepts inherit this; asyncio doesn't set it for them, and a reply's body would wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/{path:path}", self._elsewhere, methods=["GET", "POST"]),
            ]
        )
        config = uvicorn.Config(
            app,
            headers=[] if self.keep_alive else [("connection", "close")],
            backlog=2048,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=600,  # one that is closed while it is used again is an error that no test asked for
        )
        self._uvicorn = _Uvicorn(config)
        # A plain asyncio loop, not uvloop, whose clock moves in whole milliseconds.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._uvicorn.serve([listener])), name="model-server", daemon=True
        )
        self._thread.start()
        if not self._uvicorn.listening.wait(PATIENCE):
            raise RuntimeError(f"The model server did not start within {PATIENCE:g} s.")
        return self

    def __exit__(self, *_: object) -> None:
        self.reset()
        self._uvicorn.should_exit = True
        self._thread.join()

    async def _drop_connections(self) -> None:
        for transport in self._transports():
            transport.abort()
        if self._running:
            await asyncio.wait(self._running)

    def _transports(self) -> list[asyncio.Transport]:
        return [connection.transport for connection in self._uvicorn.server_state.connections]

    # Requests

    async def _models(self, _: Request) -> Response:
        model = {"id": "test-model", "object": "model", "created": 0, "owned_by": "tests"}
        return JSONResponse({"object": "list", "data": [model]})

    async def _elsewhere(self, request: Request) -> Response:
        return self._unexpected(f"unexpected {request.method} {request.url.path}", 404)

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, "chat")

    async def _responses(self, request: Request) -> Response:
        return await self._answer(request, "responses")

    async def _answer(self, request: Request, api: Literal["chat", "responses"]) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in _SECRET_HEADERS}
        asked = ChatRequest(api, await request.json(), headers, time.time())
        self.requests.append(asked)
        try:
            answer = self._next_answer(asked)
        except Exception as error:  # noqa: BLE001 - a test's handler may raise anything; the test shall see it
            return self._unexpected(f"the handler raised {error!r}")
        if answer is None:
            return self._unexpected(f"unexpected request {len(self.requests)} ({asked.role}): {asked.user[-200:]!r}")
        if isinstance(answer, HttpError | Body):
            return answer.response()
        exchange = Exchange(asked, Reply(answer) if isinstance(answer, str) else answer)
        self.exchanges.append(exchange)
        self._arrivals._change()
        return _Stream(self, exchange)

    def _next_answer(self, request: ChatRequest) -> Answer | None:
        for role in (request.role, "any"):
            if replies := self._scripts.get(role):
                return replies.popleft()
        return self.handler(request) if self.handler else None

    def _unexpected(self, problem: str, status: int = 500) -> Response:
        self._problems.append(problem)
        response = HttpError(status, f"model server: {problem}").response()
        response.headers["x-should-retry"] = "false"
        return response


class _Stream(Response):
    """Sends the reply of an exchange, streamed or whole, and notices when the client goes away."""

    def __init__(self, server: ModelServer, exchange: Exchange) -> None:
        self._server = server
        self._exchange = exchange
        self._format = (_ChatFormat if exchange.request.api == "chat" else _ResponsesFormat)(exchange)
        self._started = asyncio.get_running_loop().time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._guarded(scope, send))
        self._server._running.add(sending)
        sending.add_done_callback(self._server._running.discard)
        # It also comes when the response is complete, and when the server itself drops the connection.
        while (await receive())["type"] != "http.disconnect":
            pass
        self._exchange._end("disconnected")
        sending.cancel()
        await asyncio.wait([sending])

    async def _guarded(self, scope: Scope, send: Send) -> None:
        try:
            await self._send(scope, send)
        except Exception as error:  # noqa: BLE001 - a fault of this server must not look like a model's silence
            self._server._problems.append(f"failed with {error!r} in {self._exchange}")
            self._drop(scope, reset=True)

    async def _send(self, scope: Scope, send: Send) -> None:
        exchange, reply, clock = self._exchange, self._exchange.reply, asyncio.get_running_loop().time
        streamed = exchange.request.stream
        if streamed:
            await _start(send, "text/event-stream; charset=utf-8")
        pending = self._format.opening()
        due = self._started + reply.first_token
        for step in reply.steps:
            match step:
                case _Token():
                    await asyncio.sleep(due - clock())  # also when late: other streams get their turn
                    if streamed:
                        await _body(send, pending + self._format.token(step))
                        pending = b""
                    exchange._count()
                    due += reply.per_token
                case Gate():
                    await step._passed()
                    due = max(due, clock())
                case Pause():
                    due += step.seconds
                    await asyncio.sleep(due - clock())
                case Cut():
                    exchange._end("cut")
                    self._drop(scope, step.reset)
                    return
                case Raw() if streamed:
                    await _body(send, pending + f"data: {step.data}\n\n".encode())
                    pending = b""
                case Raw():
                    await _start(send, "application/json")
                    exchange._end("finished")
                    await _body(send, step.data.encode(), last=True)
                    return
                case End():
                    break
        else:  # no `End` came
            if streamed:
                pending += self._format.closing()
        if not streamed:
            await _start(send, "application/json")
            pending = json.dumps(self._format.whole()).encode()
        exchange._end("finished")  # before the last byte: the client may be gone as soon as it has it
        await _body(send, pending, last=True)

    def _drop(self, scope: Scope, reset: bool) -> None:
        for transport in self._server._transports():
            if transport.get_extra_info("peername") == scope["client"]:
                if reset:
                    linger = struct.pack("ii", 1, 0)  # on, 0 s: closing sends a reset
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    transport.abort()
                else:
                    transport.close()


async def _start(send: Send, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _body(send: Send, data: bytes, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})
