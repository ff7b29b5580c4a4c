"""Fits the arguments of a call to what its tool takes: results of other tasks come as whatever they are.

A tool's Pydantic model checks and converts its arguments itself; for a tool with a JSON schema, types that Pydantic
can check are made from the schema.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.tools import BaseTool, Tool
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, WrapValidator, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict  # Pydantic refuses typing's before Python 3.12

from agent.language.values import as_container, as_fields, to_text
from agent.tooling.schema import Definitions, choices_of, definitions_of, listed, options_of, schema_of

MOST_REASONS = 5

MENDS = 2
"""How often arguments are mended: a value may come out of a text, and then be none of the right type either."""


def fit(tool: BaseTool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, mended where a result has another type than the tool declares: a number where a text is wanted
    becomes text, a single value where a list is wanted becomes a list of it, a JSON text where a list or an object is
    wanted becomes what it says, and one dict that has all arguments becomes these.

    Raises:
        ValidationError: They can't be mended.
    """
    schema: Any = tool.tool_call_schema
    if isinstance(tool, Tool) and tool.args_schema is None:
        return arguments
    validate: Callable[[Any], Any]
    if isinstance(schema, dict):
        validate = _adapter(json.dumps(schema_of(tool), default=str)).validate_python
    elif issubclass(schema, BaseModel):
        validate = schema.model_validate
    else:
        return arguments
    arguments = _copy(arguments)
    for _ in range(MENDS):
        try:
            fitting = validate(arguments)
            break
        except ValidationError as error:
            if meant := _all_in_one(tool, arguments):
                arguments = meant
                continue
            if not _mend(arguments, error.errors(include_url=False, include_context=False)):
                raise
    else:
        fitting = validate(arguments)
    # LangChain converts the arguments of a model itself, and takes those of a JSON schema as they are.
    return fitting if isinstance(schema, dict) else _by_alias(tool, arguments)


def reasons_of(error: ValidationError, whole: str = "answer") -> str:
    """Why something doesn't fit, for models and people: `number: Input should be greater than 0; …`; `whole` is what
    all of it is called."""
    details = error.errors(include_url=False, include_context=False)[:MOST_REASONS]
    return "; ".join(reason_of(detail["loc"], detail["msg"], whole) for detail in details)


def reason_of(place: Iterable[int | str], message: str, whole: str = "") -> str:
    """One of these reasons, from where it is and what it says in Pydantic's words."""
    where = ".".join(map(str, place)) or whole
    why = message.removeprefix("Value error, ")
    return f"{where}: {why}" if where else why


def _by_alias(tool: BaseTool, arguments: dict[str, Any]) -> dict[str, Any]:
    """LangChain describes arguments by the names of the model's fields, and then takes them by their aliases."""
    fields = getattr(tool.args_schema, "model_fields", {})
    aliases = {
        name: field.validation_alias for name, field in fields.items() if isinstance(field.validation_alias, str)
    }
    return {aliases.get(name, name): value for name, value in arguments.items()}


# --- mending


def _all_in_one(tool: BaseTool, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments that a tool is given as one dict, as an element of a map may be: `{"to": "ana", "text": "hi"}`."""
    given = [as_fields(value) for value in arguments.values()]
    if len(given) != 1 or not isinstance(given[0], dict) or not given[0]:
        return None
    schema = schema_of(tool)
    fits = {*schema["required"]} <= given[0].keys() <= schema["properties"].keys()
    return _copy(given[0]) if fits else None


def _list_of(value: Any) -> Any:
    read = as_container(value) if isinstance(value, str) else value
    if isinstance(read, list | tuple):
        return list(read)
    return [value if read is None else read]


def _object_of(value: Any) -> Any:
    read = as_container(value)
    return read if isinstance(read, dict) else as_fields(value)


_MENDS: dict[str, Callable[[Any], Any]] = {
    "string_type": to_text,
    **dict.fromkeys(("list_type", "set_type", "frozen_set_type", "tuple_type"), _list_of),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "dataclass_type"), _object_of),
}
"""By the type of Pydantic's error."""


def _copy(value: Any) -> Any:
    """A copy that can be mended: results are shared between the tasks that refer to them."""
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _mend(arguments: dict[str, Any], details: list[ErrorDetails]) -> bool:
    """Mend what can be, each value once, and say whether that was anything."""
    mended: set[tuple[int, Any]] = set()
    for detail in details:
        container, step, value = _find(arguments, detail["loc"])
        mend = _MENDS.get(detail["type"])
        if mend and value is not None and (id(container), step) not in mended:
            container[step] = mend(value)
            mended.add((id(container), step))
    return bool(mended)


def _find(arguments: dict[str, Any], place: tuple[int | str, ...]) -> tuple[Any, Any, Any]:
    """The container, key and value at a place. Names of a union's types are no steps."""
    container, key, value = None, None, arguments
    for step in place:
        if (isinstance(value, dict) and step in value) or (isinstance(value, list) and isinstance(step, int)):
            container, key, value = value, step, value[step]
    return container, key, value if container is not None else None


# --- JSON schemas as types


def adapter_of(schema: Mapping[str, Any]) -> TypeAdapter[dict[str, Any]]:
    """Checks the arguments that a JSON schema describes, and converts `"5"` to 5 where a number is wanted.

    Names, required arguments, types, enums and lists count; lengths, patterns, ranges and the like are left to the
    tool, and what the schema does not describe passes.
    """
    return TypeAdapter(_object(schema, definitions_of(schema), frozenset()))


@lru_cache(maxsize=1000)
def _adapter(schema: str) -> TypeAdapter[dict[str, Any]]:
    return adapter_of(json.loads(schema))


def _number(value: Any, convert: Callable[[Any], Any]) -> Any:
    return value if type(value) is int else convert(value)


_SCALARS: dict[Any, Any] = {
    "string": str,
    "integer": int,
    "number": Annotated[float, WrapValidator(_number)],  # an integer stays one
    "boolean": bool,
    "null": None,
}


def _type(schema: Any, definitions: Definitions, within: frozenset[str]) -> Any:
    """
    Args:
        schema: A part of the schema.
        definitions: What it may refer to.
        within: The definitions that this is a part of; a recursive one is not followed.
    """
    if not isinstance(schema, Mapping):
        return Any
    if reference := str(schema.get("$ref") or ""):
        found = None if reference in within else definitions.follow(reference)
        return _type(found, definitions, within | {reference})
    if "const" in schema or "enum" in schema:
        values = choices_of(schema)
        known = values and all(value is None or isinstance(value, str | int) for value in values)
        return Literal[tuple(values)] if known else Any
    if options := options_of(schema):
        return _union([_type(option, definitions, within) for option in options])
    kind = schema.get("type")
    if kind == "array":
        return list[_type(schema.get("items"), definitions, within)]  # type: ignore[misc]  # made from data
    if kind == "object":
        return _object(schema, definitions, within)
    return _SCALARS.get(kind, Any) if isinstance(kind, str) else Any


def _union(types: list[Any]) -> Any:
    if Any in types:
        return Any
    union = types[0]
    for other in types[1:]:
        union = union | other if union is not None else other | None
    return union


def _object(schema: Mapping[str, Any], definitions: Definitions, within: frozenset[str]) -> Any:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return dict[str, Any]
    required = listed(schema.get("required"))
    fields: dict[str, Any] = {}
    for name, described in properties.items():
        kind = _type(described, definitions, within)
        fields[str(name)] = kind if name in required else NotRequired[kind]
    made: type[Any] = TypedDict("Arguments", fields)  # type: ignore[misc]  # made from data
    return with_config(ConfigDict(extra="allow"))(made)
