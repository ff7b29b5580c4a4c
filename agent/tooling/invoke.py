"""Runs one tool call, whatever kind of tool it is."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any, cast

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from langchain_core.callbacks import BaseCallbackManager, Callbacks
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, ToolException
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallRequest, ToolCallWrapper
from langgraph.pregel._tools import StreamToolCallHandler
from langgraph.types import Command
from pydantic import ValidationError

from agent.language.values import to_text
from agent.tooling.fit import fit, reasons_of
from agent.tooling.inject import Surroundings, inject
from agent.tooling.secrets import without_secrets

_logger = logging.getLogger(__name__)

WRONG_ARGUMENTS = "Wrong arguments for {tool}: {reasons}."
TIMED_OUT = "{tool} took longer than {seconds:g} s and was stopped."
GIVEN_UP = "{tool} took longer than {seconds:g} s and is not waited for."
LEFT_BEHIND = "%s is no async tool, and runs on in its thread. Threads left behind so: %d."
NO_THREAD = (
    "No thread was free for {tool} within {seconds:g} s: {most} calls of sync tools are running, of which {left} took "
    "too long and are not waited for."
)
STUBBORN = "%s took too long, was cancelled, and runs on all the same."
ENDED_ITSELF = "{tool} ended itself ({error})."
ONLY_RESULTS = (
    "{tool} returned a Command with {what}. A task of a plan only gives a result: return it, or a Command whose only "
    "update is a ToolMessage for the call."
)
SEVERAL_MESSAGES = "{tool} returned several messages. A task of a plan has one result: return one ToolMessage."

NO_MESSAGE = "wrap_tool_call gave {returned!r} for {tool}. It has to return what its handler returns, or a ToolMessage."

Wrapper = ToolCallWrapper | AsyncToolCallWrapper
"""What may be called around each call: `wrap(request, handler)`, sync or async, as in LangChain's middleware."""

THREADS = 100
"""How many calls of sync tools may run at once in a process (in an event loop of it, of which a server has one)."""

Threads = list["asyncio.Future[None]"]
"""Those of a call; each is done when it has ended."""

STOPPING_SECONDS = 1.0
"""How long a tool that was cancelled may take to end."""


class ToolError(Exception):
    """A tool call gave no result; the message is for the models."""


@dataclass(frozen=True)
class ContentAndArtifact:
    """The result of a tool that gives both (`response_format="content_and_artifact"`, or a `ToolMessage`).

    The observation has the artifact as its own, and the whole content in `response_metadata["content"]`.
    """

    content: Any
    """What models are shown, and what `$1` stands for."""

    artifact: Any
    """What `$1.name` or `$1[0]` reaches into if the content has no such part."""


async def invoke(
    tool: BaseTool,
    arguments: dict[str, Any],
    *,
    model: BaseChatModel,
    seconds: float,
    call_id: str = "",
    task: str = "",
    surroundings: Surroundings | None = None,
    wrapper: Wrapper | None = None,
) -> Any:
    """The tool's result; a `ContentAndArtifact` if it gives both.

    Args:
        tool: The tool; a sync one runs in a thread, which can't be stopped: after a timeout its result is ignored.
            It waits for one of the `THREADS` first.
        arguments: Resolved arguments.
        model: The run's model, which a tool may use: it finds it in its config's `configurable` as `model`.
        seconds: Seconds that the call may take.
        call_id: The tool call id, for tools that want it.
        task: The task as plans refer to it, such as `3` or `3[0]`: `task` in the metadata of the traced runs.
        surroundings: What else tools can have injected.
        wrapper: Called around the call, within its time.

    Raises:
        ToolError: The arguments don't fit, the tool failed, or it took too long.
        GraphBubbleUp: The tool interrupted the run.
    """
    around = surroundings or Surroundings()
    config = ensure_config()
    config["configurable"] = {**config["configurable"], "model": model}
    if task:
        config["metadata"] = {**config["metadata"], "task": task}
    config["callbacks"] = _named(config.get("callbacks"), call_id)
    needs_thread = not _is_async(tool) or not (wrapper is None or inspect.iscoroutinefunction(wrapper))
    place: AbstractAsyncContextManager[Threads] = _place(tool, seconds) if needs_thread else nullcontext([])
    async with place as threads:
        if wrapper is None:
            work = _call(tool, arguments, config, call_id, threads, around)
        else:
            call = ToolCall(name=tool.name, args=arguments, id=call_id, type="tool_call")
            request = ToolCallRequest(call, tool, around.state, around.tool_runtime(call_id, config))
            work = _call_wrapped(wrapper, request, threads, around)
        return await _in_time(tool, work, seconds)


async def _in_time(tool: BaseTool, work: Coroutine[Any, Any, Any], seconds: float) -> Any:
    calling = asyncio.create_task(work)
    try:
        _, late = await asyncio.wait([calling], timeout=seconds)
    except asyncio.CancelledError:
        await _stop(calling)
        raise
    if late:
        stopped = await _stop(calling)
        if stopped and _is_async(tool):
            raise ToolError(TIMED_OUT.format(tool=tool.name, seconds=seconds))
        _logger.warning(*((STUBBORN, tool.name) if _is_async(tool) else (LEFT_BEHIND, tool.name, left_behind())))
        raise ToolError(GIVEN_UP.format(tool=tool.name, seconds=seconds))
    try:
        return calling.result()
    except asyncio.CancelledError as error:
        raise _ended_itself(tool.name, error) from error


async def _stop(calling: "asyncio.Task[Any]") -> bool:
    """Cancel the call, and say whether it has ended. One that goes on all the same is not waited for."""
    calling.cancel()
    calling.add_done_callback(lambda call: call.cancelled() or call.exception())  # taken note of
    await asyncio.wait([calling], timeout=STOPPING_SECONDS)
    return calling.done()


def _wrong_arguments(tool: BaseTool, error: ValidationError) -> ToolError:
    if (handle := tool.handle_validation_error) and handle is not True:
        return ToolError(handle(error) if callable(handle) else handle)
    return ToolError(WRONG_ARGUMENTS.format(tool=tool.name, reasons=reasons_of(error, "arguments")))


def _ended_itself(tool: str, error: BaseException) -> ToolError:
    return ToolError(ENDED_ITSELF.format(tool=tool, error=type(error).__name__))


def explain(error: Exception) -> str:
    """A tool's exception as an observation, without keys."""
    said = without_secrets(str(error))
    if isinstance(error, ToolError | ToolException) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


# --- LangGraph's stream of tools


class _OfCall(StreamToolCallHandler):
    """LangGraph's handler of the `tools` stream, for one call. LangChain tells it the id of a call only if the tool is
    to give a message, in which the value would be a text."""

    def __init__(self, handler: StreamToolCallHandler, call_id: str) -> None:
        super().__init__(handler.stream, handler.subgraphs, parent_ns=handler.parent_ns)
        self._call_id: str | None = call_id

    def on_tool_start(self, *about: Any, **more: Any) -> None:
        # What starts first is the call; what starts within it has ids of its own.
        call_id, self._call_id = self._call_id, None
        super().on_tool_start(*about, **more | ({"tool_call_id": call_id} if call_id else {}))


def _named(callbacks: Callbacks, call_id: str) -> Callbacks:
    """The callbacks of a call, of which the `tools` stream, if anyone reads it, has it under its id."""
    handlers = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else []
    streams = [handler for handler in handlers if isinstance(handler, StreamToolCallHandler)]
    if not (isinstance(callbacks, BaseCallbackManager) and streams and call_id):
        return callbacks
    manager = callbacks.copy()
    for stream in streams:
        manager.remove_handler(stream)
        manager.add_handler(_OfCall(stream, call_id), inherit=True)
    return manager


# --- calling


async def _call(
    tool: BaseTool,
    arguments: dict[str, Any],
    config: RunnableConfig,
    call_id: str,
    threads: Threads,
    surroundings: Surroundings,
) -> Any:
    """The tool's result.

    Raises:
        ToolError: The arguments don't fit, or the tool says that it failed.
    """
    try:
        arguments = fit(tool, arguments)
    except ValidationError as error:
        raise _wrong_arguments(tool, error) from error
    try:
        given = inject(tool, arguments, surroundings, call_id=call_id, config=config)
    except LookupError as error:
        raise ToolError(error.args[0]) from error
    if tool.response_format == "content_and_artifact":
        # Only such a call gives a message with the artifact instead of the bare content.
        given = {"type": "tool_call", "name": tool.name, "id": call_id, "args": given}
    raising = _raising(tool)
    try:
        if _is_async(tool):
            returned = await raising.ainvoke(given, config)
        else:
            returned = await _run_in_thread(raising.invoke, given, config, threads=threads)
    except SystemExit as error:
        raise _ended_itself(tool.name, error) from error
    except ToolException as error:
        if not (handle := tool.handle_tool_error):
            raise
        said = handle(error) if callable(handle) else handle if isinstance(handle, str) else str(error)
        raise ToolError(_content_text(said)) from error
    except ValidationError as error:
        if error.title != getattr(tool.args_schema, "__name__", None):
            raise  # not of its arguments, but of something in the tool
        raise _wrong_arguments(tool, error) from error
    return _result(tool.name, returned)


async def _call_wrapped(
    wrapper: Wrapper, request: ToolCallRequest, threads: Threads, surroundings: Surroundings
) -> Any:
    """The result that the wrapper gives: that of its handler, with its type, unless it gives out something else."""
    asked, loop = request.tool, asyncio.get_running_loop()
    assert asked is not None
    made: list[tuple[str, Any, Any]] = []

    async def handler(request: ToolCallRequest) -> ToolMessage:
        call, tool = request.tool_call, request.tool or asked
        call_id = call["id"] or ""
        seen = replace(surroundings, messages=request.state["messages"])
        value = await _call(tool, call["args"], request.runtime.config, call_id, threads, seen)
        content, artifact = (value.content, value.artifact) if isinstance(value, ContentAndArtifact) else (value, value)
        message = ToolMessage(to_text(content), artifact=artifact, name=tool.name, tool_call_id=call_id)
        made.append((message.text, artifact, value))
        return message

    def handler_in_thread(request: ToolCallRequest) -> ToolMessage:
        return asyncio.run_coroutine_threadsafe(handler(request), loop).result()

    if inspect.iscoroutinefunction(wrapper):
        returned = await cast("AsyncToolCallWrapper", wrapper)(request, handler)
    else:
        returned = await _run_in_thread(wrapper, request, handler_in_thread, threads=threads)
    if not isinstance(returned, ToolMessage | Command):
        raise ToolError(NO_MESSAGE.format(tool=asked.name, returned=returned))
    if isinstance(returned, ToolMessage) and returned.status == "success":
        for text, artifact, value in made:
            if returned.artifact is artifact:
                return value if returned.text == text else returned.text
        if returned.text == to_text(returned.artifact):
            return returned.artifact
    return _result(asked.name, returned)


def _is_async(tool: BaseTool) -> bool:
    if hasattr(tool, "coroutine"):
        return tool.coroutine is not None
    return type(tool)._arun is not BaseTool._arun


def _raising(tool: BaseTool) -> BaseTool:
    """The tool, raising the errors whose text LangChain would give out as a result, for other tasks to go on with, and
    no `SystemExit`, which would end the process: LangChain runs a coroutine as a task of its own."""
    update: dict[str, Any] = {}
    if coroutine := getattr(tool, "coroutine", None):
        update["coroutine"] = _without_exit(coroutine, tool.name)
    if tool.handle_tool_error or tool.handle_validation_error:
        update |= {"handle_tool_error": False, "handle_validation_error": False}
    return tool.model_copy(update=update) if update else tool


@lru_cache(maxsize=1000)
def _without_exit(coroutine: Callable[..., Coroutine[Any, Any, Any]], tool: str) -> Callable[..., Any]:
    """A tool's coroutine function, raising no `SystemExit`. Made once, with its signature, for which LangChain asks at
    every call."""

    @wraps(coroutine)
    async def run(*positional: Any, **named: Any) -> Any:
        try:
            return await coroutine(*positional, **named)
        except SystemExit as error:
            raise _ended_itself(tool, error) from error

    with suppress(TypeError, ValueError):
        run.__signature__ = inspect.signature(coroutine)  # type: ignore[attr-defined]
    return run


# --- threads

_places = RunVar[CapacityLimiter]("places")
_left_behind: set["asyncio.Future[None]"] = set()


def left_behind() -> int:
    """How many threads of this process run calls that nobody waits for any more."""
    return len(_left_behind)


@asynccontextmanager
async def _place(tool: BaseTool, seconds: float) -> AsyncIterator[Threads]:
    """A place among the `THREADS` for a call, until its threads have ended.

    Raises:
        ToolError: There was none within these seconds.
    """
    threads: Threads = []
    try:
        places = _places.get()
    except LookupError:
        _places.set(places := CapacityLimiter(THREADS))
    call = object()
    try:
        async with asyncio.timeout(seconds):
            await places.acquire_on_behalf_of(call)
    except TimeoutError:
        told = NO_THREAD.format(tool=tool.name, seconds=seconds, most=THREADS, left=left_behind())
        raise ToolError(told) from None
    try:
        yield threads
    finally:
        ended = asyncio.gather(*(thread for thread in threads if not thread.done()))
        if ended.done():
            places.release_on_behalf_of(call)
        else:
            ended.add_done_callback(lambda _: places.release_on_behalf_of(call))


async def _run_in_thread(function: Callable[..., Any], *arguments: Any, threads: Threads) -> Any:
    """The function's result. A thread can't be stopped: cancelled, this returns at once, and the thread runs on, its
    result ignored, and is counted until it ends.

    Args:
        function: What is called.
        arguments: Its arguments.
        threads: Where the thread is noted.
    """
    loop, begun = asyncio.get_running_loop(), False
    ended: asyncio.Future[None] = loop.create_future()
    threads.append(ended)

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def run() -> Any:
        nonlocal begun
        begun = True
        try:
            return function(*arguments)
        finally:
            with suppress(RuntimeError):  # the event loop is gone
                loop.call_soon_threadsafe(end)

    try:
        return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    except asyncio.CancelledError:
        if not begun:
            end()
        elif not ended.done():
            _left_behind.add(ended)
            ended.add_done_callback(_left_behind.discard)
        raise


# --- results


def _result(tool: str, returned: Any) -> Any:
    """What a task has of what its tool returned.

    Raises:
        ToolError: The tool says that it failed, or returned what has no meaning in a plan.
    """
    if isinstance(returned, list) and any(isinstance(item, ToolMessage | Command) for item in returned):
        if len(returned) > 1:
            raise ToolError(SEVERAL_MESSAGES.format(tool=tool))
        returned = returned[0]
    if isinstance(returned, Command):
        returned = _message_of(tool, returned)
    if not isinstance(returned, ToolMessage):
        return returned
    content = _content_text(returned.content)
    if returned.status == "error":
        raise ToolError(content)
    return content if returned.artifact is None else ContentAndArtifact(content, returned.artifact)


def _message_of(tool: str, command: "Command[Any]") -> ToolMessage:
    """The result that a `Command` carries, if that is all it does."""
    others = [f"{name}={value!r}" for name in ("goto", "graph", "resume") if (value := getattr(command, name))]
    update = command.update if isinstance(command.update, dict) else {"messages": command.update}
    others += [f"an update of {name!r}" for name in update if name != "messages"]
    messages = update.get("messages") or []
    messages = messages if isinstance(messages, list) else [messages]
    results = [message for message in messages if isinstance(message, ToolMessage)]
    if len(messages) > len(results):
        others.append("other messages than results")
    if others or len(results) != 1:
        raise ToolError(ONLY_RESULTS.format(tool=tool, what=", ".join(others) or f"{len(results)} results"))
    return results[0]


def _content_text(content: Any) -> str:
    """The content of a message as text, with a word for what is none."""
    if not isinstance(content, list):
        return to_text(content)
    return "\n".join(_block_text(block) for block in content)


def _block_text(block: Any) -> str:
    if isinstance(block, str):
        return block
    kind = str(block.get("type", "block"))
    return str(block["text"]) if "text" in block else f"[{' '.join(filter(None, (kind, block.get('mime_type'))))}]"
