"""Tool results as a checkpointer can save them."""

from enum import Enum
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agent.language.values import as_fields, to_text, without_surrogates

_SERIALIZER = JsonPlusSerializer(allowed_msgpack_modules=None)


class UnsavableError(ValueError):
    """A value can't be saved."""

    def __init__(self, value: object) -> None:
        super().__init__(
            f"The result has a {type(value).__name__} in it, which can't be saved with the conversation. "
            "Return text, numbers, lists, dicts, data classes or Pydantic models."
        )


def storable(text: str) -> str:
    """The text as any database takes it: PostgreSQL wants no NUL, and nothing that is no Unicode."""
    return without_surrogates(text).replace("\0", "")


def savable(value: Any) -> Any:
    """The value as it comes back from a checkpoint: data classes and Pydantic models as dicts, members of
    enumerations as their values, tuples and sets as lists, keys of dicts that are neither text nor numbers and integers
    of more than 64 bits as text, and no lone surrogates in its texts, which neither a model nor a client could be sent.

    Raises:
        UnsavableError: Something in it can't be saved.
    """
    value = as_fields(value)
    match value:
        case None | bool():
            return value
        case Enum():
            return savable(value.value)  # checkpoints revive no classes of their own accord
        # What is derived from a plain type, as NumPy's float is, becomes that type.
        case str():
            return without_surrogates(str.__str__(value))
        case int():
            return int(value) if -(2**63) <= value < 2**64 else str(int(value))
        case float():
            return float(value)
        case bytes():
            return bytes(value)
        case dict():
            return {_savable_key(key): savable(item) for key, item in value.items()}
        case list() | tuple():
            return [savable(item) for item in value]
        case set() | frozenset():
            return sorted((savable(item) for item in value), key=to_text)  # their order is another one in each process
    try:
        revived = _SERIALIZER.loads_typed(_SERIALIZER.dumps_typed(value))
    except Exception as error:
        raise UnsavableError(value) from error
    if type(revived) is not type(value):
        raise UnsavableError(value)
    return value


def _savable_key(key: Any) -> Any:
    saved = savable(key)
    return saved if isinstance(saved, str | int | float | None) else to_text(saved)
