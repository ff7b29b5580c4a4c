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
        found = None if reference in within else referred(reference, definitions_of(root))
        return _type(found, root, within | {reference})
    if "const" in schema or "enum" in schema:
        values = choices_of(schema)
        known = values and all(value is None or isinstance(value, str | int) for value in values)
        return Literal[tuple(values)] if known else Any
    if options := options_of(schema):
        return _union([_type(option, root, within) for option in options])
    kind = schema.get("type")
    if kind == "array":
        return list[_type(schema.get("items"), root, within)]  # type: ignore[misc]  # made from data
    if kind == "object":
        return _object(schema, root, within)
    return _SCALARS.get(kind, Any) if isinstance(kind, str) else Any


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
    required = listed(schema.get("required"))
    fields: dict[str, Any] = {}
    for name, described in properties.items():
        kind = _type(described, root, within)
        fields[str(name)] = kind if name in required else NotRequired[kind]
    made: type[Any] = TypedDict("Arguments", fields)  # type: ignore[misc]  # made from data
    return with_config(ConfigDict(extra="allow"))(made)


# --- what schemas say, which come from anywhere


def definitions_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definitions that references in a schema are to."""
    found = schema.get("$defs") or schema.get("definitions")
    return found if isinstance(found, Mapping) else {}


def referred(reference: str, definitions: Mapping[str, Any]) -> Any:
    """The definition that a reference is to; None if there is none."""
    return definitions.get(reference.rpartition("/")[2])


def choices_of(schema: Mapping[str, Any]) -> list[Any]:
    """The values of an enumeration or a constant."""
    return listed(schema.get("enum", [schema.get("const")]))


def options_of(schema: Mapping[str, Any]) -> list[Any]:
    """The schemas of which a value has to fit one, if there are several; of `allOf`, the one that says all."""
    if isinstance(kinds := schema.get("type"), list):
        return [{**schema, "type": kind} for kind in kinds]
    parts = listed(schema.get("allOf"))
    return listed(schema.get("anyOf") or schema.get("oneOf")) or (parts if len(parts) == 1 else [])


def listed(value: Any) -> list[Any]:
    """The value if it is a list."""
    return value if isinstance(value, list) else []
