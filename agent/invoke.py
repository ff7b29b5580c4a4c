"""Runs one tool call, whatever kind of tool it is."""

import asyncio
from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, Tool, ToolException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.references import to_text
from agent.saving import UnsavableError

TIMED_OUT = "{tool} took longer than {seconds:g} s and was stopped."
ENDED_ITSELF = "{tool} ended itself ({error})."
WRONG_ARGUMENTS = "Wrong arguments for {tool}: {reasons}."

_MENDS: dict[str, Callable[[Any], Any]] = {"string_type": to_text, "list_type": lambda value: [value]}


class ToolError(Exception):
    """A tool call gave no result; the message is for the models."""


async def invoke(
    tool: BaseTool,
    arguments: dict[str, Any],
    *,
    model: BaseChatModel,
    seconds: float,
    threads: CapacityLimiter,
) -> Any:
    """The tool's result.

    Args:
        tool: The tool; a sync one runs in a thread, which can't be stopped: after a timeout its result is ignored.
        arguments: Resolved arguments.
        model: The run's model, which a tool may use: it finds it in its config's `configurable` as `model`.
        seconds: Seconds that the call may take.
        threads: How many sync tools may run at once.

    Raises:
        ToolError: The arguments don't fit, the tool failed, or it took too long.
        GraphBubbleUp: The tool interrupted the run.
    """
    arguments = _fit(tool, arguments)
    if tool.handle_tool_error:
        # LangChain would give the error's text out as a result, and tasks would go on with it.
        tool = tool.model_copy(update={"handle_tool_error": _raise_handled(tool)})
    config = ensure_config()
    config["configurable"] = {**config["configurable"], "model": model}
    try:
        async with asyncio.timeout(seconds) as deadline:
            if _is_async(tool):
                return await tool.ainvoke(arguments, config)
            return await to_thread.run_sync(tool.invoke, arguments, config, abandon_on_cancel=True, limiter=threads)
    except TimeoutError as error:
        if deadline.expired():
            raise ToolError(TIMED_OUT.format(tool=tool.name, seconds=seconds)) from error
        raise
    except (SystemExit, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
            raise  # the run is cancelled, not the tool
        raise ToolError(ENDED_ITSELF.format(tool=tool.name, error=type(error).__name__)) from error


def _raise_handled(tool: BaseTool) -> Callable[[ToolException], str]:
    handle = tool.handle_tool_error

    def fail(error: ToolException) -> str:
        said = handle(error) if callable(handle) else handle if isinstance(handle, str) else str(error)
        raise ToolError(said) from error

    return fail


def explain(error: Exception) -> str:
    """A tool's exception as an observation."""
    if isinstance(error, ToolError | UnsavableError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _is_async(tool: BaseTool) -> bool:
    if hasattr(tool, "coroutine"):
        return tool.coroutine is not None
    return type(tool)._arun is not BaseTool._arun


def _fit(tool: BaseTool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, mended where a result has another type than the tool declares: a number where a text is wanted
    becomes text, and a single value where a list is wanted becomes a list of it.

    Raises:
        ToolError: They can't be mended.
    """
    schema = tool.tool_call_schema
    if isinstance(tool, Tool) and tool.args_schema is None:
        return arguments
    if isinstance(schema, dict) or not issubclass(schema, BaseModel):
        return arguments
    arguments = _copy(arguments)
    for last_try in (False, False, True):
        try:
            schema.model_validate(arguments)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            if last_try or not _mend_all(arguments, details):
                raise ToolError(WRONG_ARGUMENTS.format(tool=tool.name, reasons=_reasons(details))) from error
        else:
            break
    return arguments


def _copy(value: Any) -> Any:
    """A copy that can be mended: results are shared between the tasks that refer to them."""
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _mend_all(arguments: dict[str, Any], details: list[ErrorDetails]) -> bool:
    mended = [_mend(arguments, detail) for detail in details]
    return all(mended)


def _mend(arguments: dict[str, Any], detail: ErrorDetails) -> bool:
    mend = _MENDS.get(detail["type"])
    container: Any = arguments
    place: tuple[Any, Any] | None = None
    for step in detail["loc"]:
        try:
            place = container, step
            container = container[step]
        except (KeyError, IndexError, TypeError):
            place = None
            break
    if mend is None or place is None or container is None:
        return False
    place[0][place[1]] = mend(container)
    return True


def _reasons(details: list[ErrorDetails]) -> str:
    return "; ".join(f"{'.'.join(str(step) for step in detail['loc'])}: {detail['msg']}" for detail in details[:5])
