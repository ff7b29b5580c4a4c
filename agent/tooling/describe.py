"""LangChain tools as the plan language sees them: signatures to bind calls to, and the lines that describe them to
the planner."""

import inspect
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langgraph.types import Command
from pydantic import TypeAdapter, WithJsonSchema

from agent.language.tasks import Signature
from agent.tooling.inject import check_injections, functions_of, hints_of, injectable, parameters_of
from agent.tooling.metadata import changes_something, metadata_of
from agent.tooling.schema import Definitions, choices_of, definitions_of, options_of, schema_of

RESERVED = "join"
_NAME = re.compile(r"[^\W\d][\w.\-]*")
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

DIRECT = "(As the plan's last call, its result is the answer.)"
"""What the planner is told of a tool with `return_direct`."""

CHANGES = "(Changes {what}.)"
"""What the planner is told of a tool with `side_effects`."""

LONGEST_TYPE = 60
"""Characters of a type that JSON has not; a longer one tells the planner nothing."""

MOST_PARTS = 100
"""Definitions that one type is put together from; the prompt has no use for more."""

DEEPEST_OBJECT = 3
OBJECT = "object"

YIELDS = "The tool {tool!r} yields. A task has one result: return it, and send progress with LangGraph's stream writer."
BY_POSITION = "The tool {tool!r} takes {parameter!r} by position only, and plans give arguments by name: drop the '/'."
WRONG_METADATA = "The tool {tool!r} has {value!r} for {name!r} in its metadata: give {instead}."
ANY_NUMBER = (
    "The tool {tool!r} takes any number of arguments, {parameter}, and plans give arguments by name: name them, or "
    "give the tool an args_schema."
)
GOES_ELSEWHERE = (
    "The tool {tool!r} returns a Command that goes to {nodes}. A plan decides itself what runs next: let the tool "
    "return its result, or make what it hands over to a tool (agent.as_tool)."
)


def as_tools(tools: Sequence[BaseTool | Callable[..., Any]]) -> dict[str, BaseTool]:
    """LangChain tools by name; plain functions are made into tools.

    Raises:
        ValueError: Two tools have one name, a name can't stand in a plan, or a tool does what makes no sense in one.
        TypeError: Something is neither a tool nor a function.
    """
    by_name: dict[str, BaseTool] = {}
    for given in tools:
        tool = _as_tool(given)
        if tool.name.lower() == RESERVED:
            raise ValueError(f"A tool can't be named {tool.name!r}: that ends a plan. Give it another name.")
        if not _NAME.fullmatch(tool.name):
            raise ValueError(f"The tool name {tool.name!r} can't stand in a plan; use letters, digits, '_' and '-'.")
        if tool.name in by_name:
            raise ValueError(f"Two tools are named {tool.name!r}. Rename one of them.")
        _check(tool)
        by_name[tool.name] = injectable(tool)
    return by_name


def signature_of(tool: BaseTool) -> Signature:
    """The tool's arguments, in the order of its definition."""
    schema = schema_of(tool)
    properties = schema.get("properties", {})
    shapes = {name: _shapes(parameter, definitions_of(schema)) for name, parameter in properties.items()}
    return Signature(
        name=tool.name,
        parameters=tuple(properties),
        required=frozenset(schema.get("required", ())) & properties.keys(),
        open=_is_open(tool, schema),
        lists=frozenset(name for name in shapes if "list" in shapes[name]),
        single=frozenset(name for name in shapes if shapes[name] == {"thing"}),
        changes=changes_something(tool),
    )


def _shapes(schema: Any, definitions: Definitions, within: tuple[str, ...] = ()) -> set[str]:
    """What values of the schema may be: a `list`, one `thing`, or `any` where it doesn't say."""
    if not isinstance(schema, dict):
        return {"any"}
    reference = str(schema.get("$ref") or "")
    if reference and reference not in within:
        return _shapes(definitions.follow(reference), definitions, (*within, reference))
    if options := options_of(schema):
        return set().union(*(_shapes(option, definitions, within) for option in options))
    if isinstance(schema.get("enum"), list) or "const" in schema:
        return {"list" if isinstance(choice, list) else "thing" for choice in choices_of(schema)}
    kind = schema.get("type")
    return {"list"} if kind == "array" else {"thing"} if kind in (*_TYPES, "object") else {"any"}


def describe(tool: BaseTool) -> str:
    """The tool on one line: `search(query: str) -> str: the entry that fits the query`."""
    schema = schema_of(tool)
    required = schema.get("required", ())
    parameters = []
    for name, described in schema.get("properties", {}).items():
        parameter = described if isinstance(described, dict) else {}
        text = f"{name}: {_type_name(parameter, definitions_of(schema, MOST_PARTS))}"
        if name not in required:
            text += f" = {parameter['default']!r}" if "default" in parameter else " = …"
        if words := " ".join(str(parameter.get("description") or "").split()):
            text += f" ({words})"
        parameters.append(text)
    result = result_type(tool)
    arrow = f" -> {result}" if result else ""
    line = f"{tool.name}({', '.join(parameters)}){arrow}: {purpose_of(tool)}"
    return " ".join(line.splitlines())  # a schema may have come from anywhere, with anything for a name


def purpose_of(tool: BaseTool) -> str:
    """What the tool does, and what a plan has to know of it besides."""
    words = [" ".join(tool.description.split())]
    if changed := metadata_of(tool).side_effects:
        names = "things" if changed is True else changed if isinstance(changed, str) else ", ".join(changed)
        words.append(CHANGES.format(what=names))
    if tool.return_direct:
        words.append(DIRECT)
    return " ".join(words)


def _as_tool(given: BaseTool | Callable[..., Any]) -> BaseTool:
    if isinstance(given, BaseTool):
        return given
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"{given!r} is neither a LangChain tool nor a function.")
    function = given.func if isinstance(given, partial) else given
    name = getattr(function, "__name__", type(function).__name__)
    description = inspect.getdoc(function) or name.replace("_", " ")
    if not inspect.isroutine(function):
        function = type(function).__call__.__get__(function)  # an object that can be called
    work = _without_what_is_bound(given) if isinstance(given, partial) else function
    if inspect.iscoroutinefunction(function):
        return StructuredTool.from_function(coroutine=work, name=name, description=description)
    return StructuredTool.from_function(work, name=name, description=description)


def _without_what_is_bound(bound: "partial[Any]") -> Callable[..., Any]:
    """A function, which is all that LangChain takes, of the arguments that are not bound yet."""

    def call(**arguments: Any) -> Any:
        return bound(**arguments)

    hints = hints_of(bound.func)
    signature = inspect.signature(bound)
    free = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name not in bound.keywords
    ]
    call.__signature__ = signature.replace(parameters=free)  # type: ignore[attr-defined]
    call.__annotations__ = {name: hints[name] for name in hints if name in {"return", *(p.name for p in free)}}
    return call


def _check(tool: BaseTool) -> None:
    """Refuse a tool that can't make sense in a plan."""
    check_injections(tool)
    metadata = tool.metadata or {}
    for name, (least, kinds) in {"timeout": (0.001, int | float), "retries": (0, int)}.items():
        if name in metadata and not (isinstance(metadata[name], kinds) and metadata[name] >= least):
            instead = f"a number from {least} on"
            raise ValueError(WRONG_METADATA.format(tool=tool.name, name=name, value=metadata[name], instead=instead))
    changed, read = metadata.get("side_effects"), metadata.get("reads")
    for name, said in (("side_effects", None if isinstance(changed, bool) else changed), ("reads", read)):
        if not (said is None or isinstance(said, Collection)):
            instead = "a name of what a call changes or reads, or several"
            raise ValueError(WRONG_METADATA.format(tool=tool.name, name=name, value=said, instead=instead))
    named = schema_of(tool).get("properties", {})
    for function in functions_of(tool):
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ValueError(YIELDS.format(tool=tool.name))
        for parameter in parameters_of(function).values():
            if parameter.kind is parameter.POSITIONAL_ONLY and not isinstance(tool, Tool):
                raise ValueError(BY_POSITION.format(tool=tool.name, parameter=parameter.name))
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and parameter.name in named:
                raise ValueError(ANY_NUMBER.format(tool=tool.name, parameter=str(parameter).partition(":")[0]))
        returned = hints_of(function).get("return")
        if get_origin(returned) is Command and get_origin(nodes := next(iter(get_args(returned)))) is Literal:
            raise ValueError(GOES_ELSEWHERE.format(tool=tool.name, nodes=", ".join(map(repr, get_args(nodes)))))


def _is_open(tool: BaseTool, schema: dict[str, Any]) -> bool:
    """Whether the tool takes other arguments than it names. LangChain's schema for models doesn't tell."""
    config = getattr(tool.args_schema, "model_config", {})
    return bool(schema.get("additionalProperties")) or config.get("extra") == "allow"


def _type_name(schema: Any, definitions: Definitions, within: tuple[str, ...] = ()) -> str:
    """A JSON schema as a Python type, short enough for a prompt: objects in objects in objects are just dicts.

    Args:
        schema: The schema.
        definitions: What it may refer to.
        within: The references and objects that it stands in.
    """
    if not isinstance(schema, dict):
        return "Any"
    reference = str(schema.get("$ref") or "")
    if reference in within:
        return "Any"
    if reference:
        return _type_name(definitions.follow(reference), definitions, (*within, reference))
    if "enum" in schema or "const" in schema:
        choices = choices_of(schema)
        return f"Literal[{', '.join(map(repr, choices))}]" if choices else "Any"
    if options := options_of(schema):
        return " | ".join(dict.fromkeys(_type_name(option, definitions, within) for option in options))
    match schema.get("type"):
        case "array":
            items = schema.get("items")
            return f"list[{_type_name(items, definitions, within)}]" if items else "list"
        case "object":
            properties = schema.get("properties")
            if not properties or not isinstance(properties, dict):
                values = schema.get("additionalProperties")
                return f"dict[str, {_type_name(values, definitions, within)}]" if isinstance(values, dict) else "dict"
            if within.count(OBJECT) == DEEPEST_OBJECT:
                return "dict"
            fields = (
                f"{name!r}: {_type_name(field, definitions, (*within, OBJECT))}" for name, field in properties.items()
            )
            return f"{{{', '.join(fields)}}}"
        case str(name):
            return _TYPES.get(name, name)
        case _:
            return "Any"


def result_type(tool: BaseTool) -> str:
    """The return type that the tool's function declares; fields of a model are shown, since `$1.field` reaches them. A
    tool may also have the result's JSON schema in an attribute of its own, `result_schema`."""
    has_both = tool.response_format == "content_and_artifact"
    if schema := getattr(tool, "result_schema", None):
        shown = _type_name(schema, definitions_of(schema, MOST_PARTS))
    else:
        annotation = next((hints["return"] for hints in map(hints_of, functions_of(tool)) if "return" in hints), None)
        shown = _shown_type([*get_args(annotation), None, None][1] if has_both else annotation)
    if has_both:
        return f"str (with parts: {shown})" if shown.startswith(("{", "list[")) else "str"
    return shown


def _shown_type(annotation: Any) -> str:
    if annotation in (None, Any) or (get_origin(annotation) or annotation) in (Command, ToolMessage):
        return ""
    try:
        given = [mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, WithJsonSchema)]
        # Pydantic itself loses its way in a given schema with definitions.
        schema = (given[0].json_schema if given else None) or TypeAdapter(annotation).json_schema(mode="serialization")
        return _type_name(schema, definitions_of(schema, MOST_PARTS))
    except Exception:  # noqa: BLE001 — a type that JSON has not
        text = inspect.formatannotation(annotation).replace("typing.", "")
        return text if len(text) <= LONGEST_TYPE else ""
