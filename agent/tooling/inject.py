"""What a LangChain tool may ask for beside the arguments that a plan gives: the conversation, the store, the runtime,
the id of its call. No plan sees these arguments, and none can give them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId
from langchain_core.tools.base import get_all_basemodel_annotations
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.runtime import Runtime
from pydantic import BaseModel, create_model

from agent.language.values import digest, to_text

STATE_FIELD = "messages"
"""What the state of this graph has for tools."""

NO_SUCH_FIELD = (
    "The tool {tool!r} wants the state's {field!r} injected as {argument!r}. The state of this agent is the "
    'conversation: its only field is "messages". Give the argument a default, or take it from the run\'s config.'
)
NOT_INJECTED = (
    "The argument {argument!r} of the tool {tool!r} is marked as injected, and nothing injects it. Give it a default, "
    "bind it before (functools.partial), or have the state, the store, the runtime or a RunnableConfig injected."
)
NO_STORE = "{tool} needs the graph's store, and it has none: create_llm_compiler(…, store=…)."


class InjectedIdempotencyKey(InjectedToolArg):
    """Marks an argument, `key: Annotated[str, InjectedIdempotencyKey]`, that is the same whenever a call is made again:
    after a crash, at another try, or when someone goes back to an earlier checkpoint and approves it once more. Hand it
    to a service that makes a payment once for each such key."""


@dataclass(frozen=True)
class Surroundings:
    """Where a call is made: what can be injected."""

    messages: Sequence[AnyMessage] = ()
    """The conversation when the plan began. Results of this plan's other tasks are not in it: refer to them."""

    runtime: Runtime[Any] = field(default_factory=Runtime)
    """The run's context, store and stream writer."""

    tools: Sequence[BaseTool] = ()
    """All the agent's tools."""

    thread: str = ""
    """What tells the thread from all others; a run without one, from all other runs."""

    @property
    def state(self) -> dict[str, Any]:
        """The graph's state, as tools see it."""
        return {STATE_FIELD: list(self.messages)}

    def tool_runtime(self, call_id: str, config: RunnableConfig) -> ToolRuntime[Any, Any]:
        """All of it, for the call with this id and config."""
        runtime = self.runtime
        return ToolRuntime(
            state=self.state,
            context=runtime.context,
            config=config,
            stream_writer=runtime.stream_writer,
            tool_call_id=call_id,
            store=runtime.store,
            tools=list(self.tools),
            execution_info=runtime.execution_info,
            server_info=runtime.server_info,
        )


def check_injections(tool: BaseTool) -> None:
    """See that all that the tool wants injected can be.

    Raises:
        ValueError: Something can't.
    """
    for argument, wanted in injections(tool).items():
        if isinstance(wanted, InjectedState) and wanted.field not in (None, STATE_FIELD):
            if not _has_default(tool, argument):
                raise ValueError(NO_SUCH_FIELD.format(tool=tool.name, field=wanted.field, argument=argument))
        elif wanted is InjectedToolArg and argument != "runtime" and not _has_default(tool, argument):
            raise ValueError(NOT_INJECTED.format(tool=tool.name, argument=argument))


def inject(
    tool: BaseTool, arguments: dict[str, Any], surroundings: Surroundings, *, call_id: str, config: RunnableConfig
) -> dict[str, Any]:
    """The arguments with what the tool wants injected.

    Args:
        tool: The tool.
        arguments: What the plan gives. An injected argument among them is dropped.
        surroundings: Where the values come from.
        call_id: The tool call id.
        config: The call's config.

    Raises:
        LookupError: The tool needs the store, and there is none.
    """
    wanted_by_name = injections(tool)
    given = {name: value for name, value in arguments.items() if name not in wanted_by_name}
    store = surroundings.runtime.store
    state = surroundings.state
    for name, wanted in wanted_by_name.items():
        if isinstance(wanted, InjectedState):
            if wanted.field in (None, STATE_FIELD):
                given[name] = state if wanted.field is None else state[STATE_FIELD]
        elif wanted is InjectedStore:
            if store is not None:
                given[name] = store
            elif not _has_default(tool, name):
                raise LookupError(NO_STORE.format(tool=tool.name))
        elif wanted is InjectedToolCallId:
            given[name] = call_id
        elif wanted is InjectedIdempotencyKey:
            given[name] = digest(to_text([surroundings.thread, call_id, tool.name, arguments]))
        elif wanted is ToolRuntime or name == "runtime":
            given[name] = surroundings.tool_runtime(call_id, config)
    return given


def injectable(tool: BaseTool) -> BaseTool:
    """The tool, leaving it to `inject` to give it the call's id and the runtime.

    LangChain gives the id only to calls whose result it makes a text of. And it serialises what it has validated, so
    that Pydantic warns, at every call, of a runtime whose context has another type than the annotation tells.
    """
    schema: Any = tool.args_schema
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return tool
    fields: dict[str, Any] = {
        name: (Annotated[Any, _Injected(wanted)], ...)
        for name, wanted in injections(tool).items()
        if wanted in (ToolRuntime, InjectedToolCallId) and name in schema.model_fields
    }
    if not fields:
        return tool
    return tool.model_copy(update={"args_schema": create_model(schema.__name__, __base__=schema, **fields)})


@dataclass(frozen=True)
class _Injected(InjectedToolArg):
    wanted: Any


def injections(tool: BaseTool) -> Mapping[str, Any]:
    """The injected arguments by name: an `InjectedState`, or one of the classes `InjectedStore`, `ToolRuntime`,
    `InjectedToolCallId`, `InjectedIdempotencyKey`, and `InjectedToolArg` for any other."""
    schema = tool.args_schema
    return _injections(tuple(functions_of(tool)), schema if isinstance(schema, type) else None)


@lru_cache(maxsize=1000)
def _injections(functions: tuple[Callable[..., Any], ...], schema: type[Any] | None) -> Mapping[str, Any]:
    """Looked up once for a tool, since it takes as long as all the rest that is ours of a call."""
    of_schema = get_all_basemodel_annotations(schema) if schema else {}
    found: dict[str, Any] = {}
    for annotations in (of_schema, *map(hints_of, functions)):
        for name, annotation in annotations.items():
            if name != "return" and (wanted := _injection(annotation)) is not None:
                found[name] = wanted
    return found


def functions_of(tool: BaseTool) -> list[Callable[..., Any]]:
    """The functions that do the tool's work, sync and async."""
    own = [getattr(tool, "func", None), getattr(tool, "coroutine", None)]
    functions = [function for function in own if function is not None]
    return functions or [tool._run, tool._arun]


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The function's annotations; none if one of them can't be looked up."""
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 — a name that exists only where the function was defined
        return {}


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The function's parameters; none if it is not one of Python's that can tell."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _injection(annotation: Any) -> Any:
    """What an annotation says is to be injected, if anything."""
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, ToolRuntime):
        return ToolRuntime
    if origin is Annotated or hasattr(annotation, "__metadata__"):
        for mark in get_args(annotation)[1:]:
            kind = mark if isinstance(mark, type) else type(mark)
            if isinstance(mark, _Injected):
                return mark.wanted
            if issubclass(kind, InjectedState):
                return mark if isinstance(mark, InjectedState) else InjectedState()
            for known in (InjectedStore, InjectedToolCallId, InjectedIdempotencyKey, InjectedToolArg):
                if issubclass(kind, known):
                    return known
    return next(filter(None, map(_injection, get_args(annotation))), None)


def _has_default(tool: BaseTool, argument: str) -> bool:
    for function in functions_of(tool):
        parameter = parameters_of(function).get(argument)
        if parameter and parameter.default is not inspect.Parameter.empty:
            return True
    schema: Any = tool.args_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel) and argument in schema.model_fields:
        return not schema.model_fields[argument].is_required()
    return False
