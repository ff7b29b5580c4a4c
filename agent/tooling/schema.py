"""What the JSON schemas of tools say. They come from anywhere, with anything in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool, Tool
from pydantic.errors import PydanticInvalidForJsonSchema

NO_SCHEMA = "The arguments of the tool {tool!r} have no JSON schema, so no plan can give them: {why}"
WRONG_SCHEMA = "The tool {tool!r} has {value!r} for {name!r} in its schema, where an object belongs."

MOST_REFERENCES = 1000
"""That one reader of a schema follows."""


@dataclass
class Definitions:
    """What the references in a schema are to. Of ten definitions that refer to each other there are millions of ways
    from one to the next, so that whoever reads a schema goes so many steps, and no further."""

    by_name: Mapping[str, Any]
    steps: int

    def follow(self, reference: str) -> Any:
        """The definition that a reference is to; None if there is none, or it is a step too far."""
        self.steps -= 1
        return self.by_name.get(reference.rpartition("/")[2]) if self.steps >= 0 else None


def schema_of(tool: BaseTool) -> dict[str, Any]:
    """The JSON schema of the arguments that a model gives, with those of all its branches (`anyOf`, `oneOf`, `allOf`)
    among its properties.

    Raises:
        ValueError: There is none, or it is not one.
    """
    if isinstance(tool, Tool) and tool.args_schema is None:
        return {"properties": tool.args, "required": list(tool.args)}  # LangChain infers no schema for its oldest kind
    schema: Any = tool.tool_call_schema
    if not isinstance(schema, dict):
        try:
            schema = dict(schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema.schema())
        except PydanticInvalidForJsonSchema as error:
            raise ValueError(NO_SCHEMA.format(tool=tool.name, why=error.message)) from error
    properties, required = _branches(tool.name, schema, definitions_of(schema), ())
    return {**schema, "properties": properties, "required": sorted(required & properties.keys())}


def _branches(
    tool: str, schema: Any, definitions: Definitions, within: tuple[str, ...]
) -> tuple[dict[str, Any], set[str]]:
    """The properties of a schema and its branches, and the names of those that are required whatever the branch."""
    if not isinstance(schema, Mapping):
        return {}, set()
    own = schema.get("properties") or {}
    if not isinstance(own, Mapping):
        raise ValueError(WRONG_SCHEMA.format(tool=tool, value=own, name="properties"))
    required = {name for name in listed(schema.get("required")) if isinstance(name, str)}
    others: dict[str, list[Any]] = {}

    def take(part: Any, within: tuple[str, ...] = within) -> set[str]:
        found, needed = _branches(tool, part, definitions, within)
        for name, described in found.items():
            if name not in own and described not in others.setdefault(name, []):
                others[name].append(described)
        return needed

    if (reference := str(schema.get("$ref") or "")) and reference not in within:
        required |= take(definitions.follow(reference), (*within, reference))
    for part in listed(schema.get("allOf")):
        required |= take(part)
    for options in filter(None, (listed(schema.get("anyOf")), listed(schema.get("oneOf")))):
        required |= set.intersection(*map(take, options))
    shared = {name: found[0] if len(found) == 1 else {"anyOf": found} for name, found in others.items()}
    return {**own, **shared}, required


def definitions_of(schema: Mapping[str, Any], steps: int = MOST_REFERENCES) -> Definitions:
    """The definitions of a schema, for one reader who follows its references."""
    found = schema.get("$defs") or schema.get("definitions")
    return Definitions(found if isinstance(found, Mapping) else {}, steps)


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
