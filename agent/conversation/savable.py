"""Tool results, and what people answer, as a checkpointer can save them."""

import datetime
from contextlib import suppress
from enum import Enum
from numbers import Integral, Real
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agent.language.values import as_fields, to_text, without_surrogates

_SERIALIZER = JsonPlusSerializer(allowed_msgpack_modules=None)


class UnsavableError(ToolException, ValueError):
    """A value can't be saved. The message is for the models, when it is a tool's."""


CANT_BE = (
    "The result has a {kind} in it, which can't be saved with the conversation. "
    "Return text, numbers, lists, dicts, data classes or Pydantic models."
)
RESULT_TOO_DEEP = "The result is nested too deep to be saved with the conversation. Return something flatter."
EDITED_TOO_DEEP = "The call that they wrote in its place can't be saved: its arguments are nested too deep."

MARGIN = 10
"""Levels that a value stands in, at most, where it is saved: in a message, or in a plan that waits for a person."""


def storable(text: str) -> str:
    """The text as any database takes it: PostgreSQL wants no NUL, and nothing that is no Unicode."""
    return without_surrogates(text).replace("\0", "")


def savable(value: Any) -> Any:
    """The value as it comes back from a checkpoint, if it can be saved there: see `plain`.

    Raises:
        UnsavableError: Something in it can't be saved, or it is nested too deep.
    """
    try:
        saved = plain(value)
        _try(saved)
    except UnsavableError:
        raise
    except Exception as error:
        raise UnsavableError(RESULT_TOO_DEEP) from error
    return saved


def _try(value: Any) -> None:
    """Have the serializer say whether it takes the value."""
    for _ in range(MARGIN):
        value = [value]
    _SERIALIZER.dumps_typed(ToolMessage("", artifact=value, tool_call_id=""))


def savable_answer(answer: Any) -> Any:
    """What a run is resumed with, as a checkpoint can hold it. An edited call that can't be saved is a rejected one.

    Raises:
        UnsavableError: Something else in it can't be saved.
    """
    try:
        _try(answer)
    except Exception:  # noqa: BLE001 — whatever the serializer has against it
        if isinstance(answer, dict):
            return {name: savable_answer(value) for name, value in answer.items()}
        if isinstance(answer, list):
            return [_savable_decision(decision) for decision in answer]
        return savable(answer)
    return answer


def _savable_decision(decision: Any) -> Any:
    try:
        return savable(decision)
    except UnsavableError:
        if isinstance(decision, dict) and decision.get("type") == "edit":
            return {"type": "reject", "message": EDITED_TOO_DEEP}
        raise


def plain(value: Any) -> Any:
    """The value without what checkpoints don't bring back: data classes and Pydantic models as dicts, members of
    enumerations as their values, tuples and sets as lists, keys of dicts that are neither text nor numbers and integers
    of more than 64 bits as text, what is derived from a plain type, such as NumPy's numbers and pandas' times, as that
    type, anything else, such as a table of pandas, as its text, and no lone surrogates in texts, which neither a model
    nor a client could be sent.

    Raises:
        UnsavableError: Something in it can't be saved, and its text says nothing.
    """
    if type(value) is str:  # most of what there is, and so first
        return without_surrogates(value)
    value = as_fields(value)
    match value:
        case None | bool():
            return value
        case Enum():
            return plain(value.value)  # checkpoints revive no classes of their own accord
        case str():
            return without_surrogates(str.__str__(value))
        case int():
            return int(value) if -(2**63) <= value < 2**64 else str(int(value))
        case float():
            return float(value)
        case bytes():
            return bytes(value)
        case dict():
            return {_plain_key(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted((plain(item) for item in value), key=to_text)  # their order is another one in each process
        case _ if _is_numpys_time(value):
            return str(value)
        case Integral():
            return plain(int(value))
        case Real():
            return float(value)
        case datetime.datetime() | datetime.date() | datetime.timedelta():
            return _plain_time(value)
    try:
        revived = _SERIALIZER.loads_typed(_SERIALIZER.dumps_typed(value))
    except Exception:  # noqa: BLE001 — whatever the serializer has against it
        return _text_of(value)
    return value if type(revived) is type(value) else _text_of(value)


def _plain_time(value: datetime.date | datetime.timedelta) -> Any:
    if type(value) in (datetime.datetime, datetime.date, datetime.timedelta):
        return value
    try:
        if isinstance(value, datetime.timedelta):
            return datetime.timedelta(value.days, value.seconds, value.microseconds)
        kind = datetime.datetime if isinstance(value, datetime.datetime) else datetime.date
        return kind.fromisoformat(value.isoformat())
    except ValueError:  # pandas' NaT is no time
        return str(value)


def _text_of(value: Any) -> Any:
    """What its class makes of it as a text.

    Raises:
        UnsavableError: That is only where in memory it is, or it has none.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist())  # a truth value, or an array of objects
    text = ""
    with suppress(Exception):
        text = str(value)
    if not text or hex(id(value)) in text:
        raise UnsavableError(CANT_BE.format(kind=type(value).__name__))
    return without_surrogates(text)


def _is_numpys_time(value: Any) -> bool:
    """Whether it is one of NumPy's times, which to Python is a number."""
    return type(value).__module__ == "numpy" and type(value).__name__ in ("datetime64", "timedelta64")


def _plain_key(key: Any) -> Any:
    saved = plain(key)
    return saved if isinstance(saved, str | int | float | None) else to_text(saved)
