"""LangChain tools as the plan language sees them: signatures to bind calls to, and the lines that describe them to
the planner."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, cast, get_type_hints

from langchain_core.tools import BaseTool, StructuredTool, Tool
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from agent.plan import Signature

RESERVED = "join"
_NAME = re.compile(r"[^\W\d][\w.\-]*")
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def as_tools(tools: Sequence[BaseTool | Callable[..., Any]]) -> dict[str, BaseTool]:
    """LangChain tools by name; plain functions are made into tools.

    Raises:
        ValueError: Two tools have one name, or a name can't stand in a plan.
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
        by_name[tool.name] = tool
    return by_name


def signature_of(tool: BaseTool) -> Signature:
    """The tool's arguments, in the order of its definition."""
    schema = _schema(tool)
    properties = schema.get("properties", {})
    return Signature(
        name=tool.name,
        parameters=tuple(properties),
        required=frozenset(schema.get("required", ())) & properties.keys(),
        open=bool(schema.get("additionalProperties")),
    )


def describe(tool: BaseTool) -> str:
    """The tool on one line: `search(query: str) -> str: the entry that fits the query`."""
    schema = _schema(tool)
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    parameters = []
    for name, parameter in schema.get("properties", {}).items():
        text = f"{name}: {_type_name(parameter, definitions)}"
        if name not in required:
            text += f" = {parameter['default']!r}" if "default" in parameter else " = …"
        if described := parameter.get("description"):
            text += f" ({' '.join(described.split())})"
        parameters.append(text)
    result = _result_type(tool)
    return (
        f"{tool.name}({', '.join(parameters)}){f' -> {result}' if result else ''}: {' '.join(tool.description.split())}"
    )


def _as_tool(given: BaseTool | Callable[..., Any]) -> BaseTool:
    if isinstance(given, BaseTool):
        return given
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"{given!r} is neither a LangChain tool nor a function.")
    name = getattr(given, "__name__", type(given).__name__)
    description = inspect.getdoc(given) or name.replace("_", " ")
    if inspect.iscoroutinefunction(given):
        return StructuredTool.from_function(coroutine=given, name=name, description=description)
    return StructuredTool.from_function(given, name=name, description=description)


def _schema(tool: BaseTool) -> dict[str, Any]:
    """The JSON schema of the arguments that a model gives."""
    if isinstance(tool, Tool) and tool.args_schema is None:
        return {"properties": tool.args, "required": list(tool.args)}  # LangChain infers no schema for its oldest kind
    schema = tool.tool_call_schema
    if isinstance(schema, dict):
        return schema
    try:
        return cast("type[BaseModel]", schema).model_json_schema()
    except PydanticInvalidForJsonSchema as error:
        raise ValueError(
            f"The arguments of the tool {tool.name!r} have no JSON schema, so no plan can give them: {error.message}"
        ) from error


def _type_name(schema: dict[str, Any], definitions: dict[str, Any], depth: int = 0) -> str:
    """A JSON schema as a Python type, short enough for a prompt."""
    if depth > 4:
        return "dict"
    if reference := schema.get("$ref"):
        return _type_name(definitions.get(reference.rpartition("/")[2], {}), definitions, depth + 1)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return f"Literal[{', '.join(repr(value) for value in values)}]"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(_type_name(option, definitions, depth + 1) for option in options))
    match schema.get("type"):
        case "array":
            items = schema.get("items")
            return f"list[{_type_name(items, definitions, depth + 1)}]" if items else "list"
        case "object":
            properties = schema.get("properties")
            if not properties:
                values = schema.get("additionalProperties")
                return (
                    f"dict[str, {_type_name(values, definitions, depth + 1)}]" if isinstance(values, dict) else "dict"
                )
            fields = (f"{name!r}: {_type_name(field, definitions, depth + 1)}" for name, field in properties.items())
            return f"{{{', '.join(fields)}}}"
        case list() as several:
            return " | ".join(_TYPES.get(str(name), str(name)) for name in several)
        case str(name):
            return _TYPES.get(name, name)
        case _:
            return "Any"


def _result_type(tool: BaseTool) -> str:
    """The return type that the tool's function declares; fields of a model are shown, since `$1.field` reaches them."""
    function = getattr(tool, "coroutine", None) or getattr(tool, "func", None)
    annotation = getattr(function, "__annotations__", {}).get("return") if function else None
    if annotation is None or annotation is Any:
        return ""
    try:
        annotation = get_type_hints(function)["return"]
        schema = TypeAdapter(annotation).json_schema(mode="serialization")
        return _type_name(schema, schema.get("$defs", {}))
    except Exception:  # noqa: BLE001 — a type that JSON has not, or a name that can't be looked up
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return text.replace("typing.", "")
