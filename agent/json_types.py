"""JSON schemas as Python types that Pydantic can check values against and convert them to."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, WrapValidator, with_config
from typing_extensions import TypedDict  # Pydantic refuses typing's before Python 3.12


def _number(value: Any, convert: Callable[[Any], Any]) -> Any:
    return value if type(value) is int else convert(value)


_SCALARS: dict[Any, Any] = {
    "string": str,
    "integer": int,
    "number": Annotated[float, WrapValidator(_number)],  # an integer stays one
    "boolean": bool,
    "null": None,
}


def adapter_of(schema: Mapping[str, Any]) -> TypeAdapter[dict[str, Any]]:
    """Checks the arguments that a JSON schema describes, and converts `"5"` to 5 where a number is wanted.

    Names, required arguments, types, enums and lists count; lengths, patterns, ranges and the like are left to the
    tool, and what the schema does not describe passes.
    """
    return TypeAdapter(_object(schema, schema, frozenset()))


def _type(schema: Any, root: Mapping[str, Any], within: frozenset[str]) -> Any:
    """
    Args:
        schema: A part of the schema.
        root: The whole of it, for its definitions.
        within: The definitions that this is a part of; a recursive one is not followed.
    """
    if not isinstance(schema, Mapping):
        return Any
    if reference := str(schema.get("$ref") or ""):
        definitions: Any = root.get("$defs") or root.get("definitions")
        follows = isinstance(definitions, Mapping) and reference not in within
        found = definitions.get(reference.rpartition("/")[2]) if follows else None
        return _type(found, root, within | {reference})
    if "const" in schema or "enum" in schema:
        values = _list(schema.get("enum", [schema.get("const")]))
        known = values and all(value is None or isinstance(value, str | int) for value in values)
        return Literal[tuple(values)] if known else Any
    kind = schema.get("type")
    options = _list(schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"))
    if isinstance(kind, list):
        options = [{**schema, "type": name} for name in kind]
    if options:
        if "allOf" in schema and len(options) > 1:
            return Any
        return _union([_type(option, root, within) for option in options])
    if kind == "array":
        return list[_type(schema.get("items"), root, within)]  # type: ignore[misc]  # made from data
    if kind == "object":
        return _object(schema, root, within)
    return _SCALARS.get(kind, Any) if isinstance(kind, str) else Any


def _list(value: Any) -> list[Any]:
    """The value if it is a list; schemas come from anywhere."""
    return value if isinstance(value, list) else []


def _union(types: list[Any]) -> Any:
    if Any in types:
        return Any
    union = types[0]
    for other in types[1:]:
        union = union | other if union is not None else other | None
    return union


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], within: frozenset[str]) -> Any:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return dict[str, Any]
    required = _list(schema.get("required"))
    fields: dict[str, Any] = {}
    for name, described in properties.items():
        kind = _type(described, root, within)
        fields[str(name)] = kind if name in required else NotRequired[kind]
    made: type[Any] = TypedDict("Arguments", fields)  # type: ignore[misc]  # made from data
    return with_config(ConfigDict(extra="allow"))(made)
