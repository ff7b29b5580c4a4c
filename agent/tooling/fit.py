"""Fits the arguments of a call to what its tool takes: results of other tasks come as whatever they are."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from langchain_core.tools import BaseTool, Tool
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from agent.language.references import as_fields, to_text
from agent.tooling.json_types import adapter_of
from agent.tooling.results import ToolError

WRONG_ARGUMENTS = "Wrong arguments for {tool}: {reasons}."

_MENDS: dict[str, Callable[[Any], Any]] = {
    "string_type": to_text,
    "list_type": lambda value: [value],
    "dict_type": as_fields,
}


def fit(tool: BaseTool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, mended where a result has another type than the tool declares: a number where a text is wanted
    becomes text, and a single value where a list is wanted becomes a list of it.

    Raises:
        ToolError: They can't be mended.
    """
    schema: Any = tool.tool_call_schema
    if isinstance(tool, Tool) and tool.args_schema is None:
        return arguments
    validate: Callable[[Any], Any]
    if isinstance(schema, dict):
        validate = _adapter(json.dumps(schema, default=str)).validate_python
    elif issubclass(schema, BaseModel):
        validate = schema.model_validate
    else:
        return arguments
    arguments = _copy(arguments)
    for last_try in (False, False, True):
        try:
            fitting = validate(arguments)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            if last_try or not _mend_all(arguments, details):
                raise wrong_arguments(tool, error) from error
        else:
            # LangChain converts the arguments of a model itself, and takes those of a JSON schema as they are.
            return fitting if isinstance(schema, dict) else _by_alias(tool, arguments)
    raise AssertionError("the last try returns or raises")


def _by_alias(tool: BaseTool, arguments: dict[str, Any]) -> dict[str, Any]:
    """LangChain describes arguments by the names of the model's fields, and then takes them by their aliases."""
    fields = getattr(tool.args_schema, "model_fields", {})
    aliases = {
        name: field.validation_alias for name, field in fields.items() if isinstance(field.validation_alias, str)
    }
    return {aliases.get(name, name): value for name, value in arguments.items()}


@lru_cache(maxsize=1000)
def _adapter(schema: str) -> TypeAdapter[dict[str, Any]]:
    return adapter_of(json.loads(schema))


def wrong_arguments(tool: BaseTool, error: ValidationError) -> ToolError:
    """What models are told of arguments that don't fit."""
    details = error.errors(include_url=False, include_context=False)
    return ToolError(WRONG_ARGUMENTS.format(tool=tool.name, reasons=_reasons(details)))


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
