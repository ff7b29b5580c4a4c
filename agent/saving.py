"""Tool results as a checkpointer can save them."""

from enum import Enum
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agent.literals import without_surrogates
from agent.references import as_fields

_SERIALIZER = JsonPlusSerializer()


class UnsavableError(ValueError):
    """A value can't be saved."""

    def __init__(self, value: object) -> None:
        super().__init__(
            f"The result has a {type(value).__name__} in it, which can't be saved with the conversation. "
            "Return text, numbers, lists, dicts, data classes or Pydantic models."
        )


def savable(value: Any) -> Any:
    """The value as it comes back from a checkpoint: data classes and Pydantic models as dicts, members of
    enumerations as their values, tuples as lists, integers of more than 64 bits as text, and no lone surrogates in its
    texts, which neither a model nor a client could be sent.

    Raises:
        UnsavableError: Something in it can't be saved.
    """
    value = as_fields(value)
    if isinstance(value, Enum):
        return savable(value.value)  # checkpoints revive no classes of their own accord
    if isinstance(value, str):
        return without_surrogates(value)
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, dict):
        return {savable(key) if isinstance(key, str) else key: savable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [savable(item) for item in value]
    if isinstance(value, set | frozenset):
        return {savable(item) for item in value}
    try:
        _SERIALIZER.dumps_typed(value)
    except Exception as error:
        raise UnsavableError(value) from error
    return value
