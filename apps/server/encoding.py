"""Anything as JSON."""

import json
from typing import Any

import orjson
from pydantic import BaseModel

from agent.language.values import without_surrogates


def to_json(value: Any) -> bytes:
    """The value as JSON."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:  # a number of more than 64 bits, or half a character
        return without_surrogates(json.dumps(value, ensure_ascii=False, default=_plain)).encode()


def _plain(value: object) -> Any:
    """What LangChain's events hold besides JSON: models as JSON, other objects by their type alone, because what they
    hold may be secret."""
    return value.model_dump() if isinstance(value, BaseModel) else f"<{type(value).__name__}>"
