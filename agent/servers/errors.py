"""Errors of models, their servers and clients."""

import re
from collections.abc import Iterable
from typing import Any

from langchain_core.exceptions import ContextOverflowError

from agent.tooling.secrets import without_secrets

REFUSED = frozenset({400, 404, 405, 422, 500, 501})
"""What servers answer to a request with something in it that they can't do."""

SHORTEST_KEY = 8
"""Characters. A shorter one may be a word."""


class ModelError(ValueError):
    """A chat model can't be had, or has no answer. The message says what to do."""


def is_refusal(error: Exception) -> bool:
    """Whether a server answers so that it can't do something that was asked for, such as calling tools."""
    return status_of(error) in REFUSED and not isinstance(error, ContextOverflowError)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a server answered with, if that is what the error is about. Each client has it elsewhere."""
    response = getattr(error, "response", None)
    named = [getattr(error, "status_code", None), getattr(error, "code", None), getattr(response, "status_code", None)]
    if isinstance(response, dict):  # botocore's
        named.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    if said := re.match(r"\[(\d{3})\]", str(error)):  # NVIDIA's
        named.append(int(said[1]))
    status = next((status for status in named if isinstance(status, int)), None)
    return status_of(error.__cause__) if status is None and error.__cause__ else status


def is_stray(error: BaseException | None) -> bool:
    """Whether a client met a connection of another event loop; some have errors of their own made of that."""
    while error and not (isinstance(error, RuntimeError) and "event loop" in str(error).lower()):
        error = error.__cause__
    return error is not None


def hide_secrets(error: BaseException, keys: Iterable[str]) -> None:
    """Take keys out of an error, and the server's response from it."""
    long = [key for key in keys if len(key) >= SHORTEST_KEY]

    def hidden(value: Any) -> Any:
        if isinstance(value, str):
            for key in long:
                value = value.replace(key, "***")
            return without_secrets(value)
        if isinstance(value, dict):
            return {name: hidden(item) for name, item in value.items()}
        return [hidden(item) for item in value] if isinstance(value, list) else value

    status = status_of(error)
    error.args = tuple(hidden(said) for said in error.args)
    for name in ("message", "body"):
        if name in vars(error):
            setattr(error, name, hidden(getattr(error, name)))
    if vars(error).pop("response", None) is not None and status is not None:
        error.status_code = status  # type: ignore[attr-defined]
