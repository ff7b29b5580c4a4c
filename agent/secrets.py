"""Keys kept out of what is shown, saved, and sent to models."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = re.compile(r".*(KEY|TOKEN|SECRET|PASSWORD)", re.IGNORECASE)
_KEY = re.compile(r"\bsk-[\w*-]{6,}")
_SHORTEST = 8


def without_secrets(text: str) -> str:
    """The text with `***` for each key: the values of environment variables that are named so, and what looks like an
    OpenAI key. Servers repeat keys in what they say of an error."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAME.fullmatch(name):
            text = text.replace(value, "***")
    return _KEY.sub("***", text)


@contextmanager
def secrets_hidden() -> Iterator[None]:
    """Exceptions come out without keys, which LangGraph would save with the thread, and tracers and logs keep."""
    try:
        yield
    except Exception as error:
        error.args = tuple(without_secrets(said) if isinstance(said, str) else said for said in error.args)
        raise
