"""Keys kept out of what is shown, saved, and sent to models."""

import os
import re
from urllib.parse import quote

_NAME = re.compile(r".*(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|BEARER|(\A|_)(PAT|PASS|AUTH))", re.IGNORECASE)
_SHAPES = (
    re.compile(r"\bsk-[\w*-]{6,}"),
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),
    re.compile(r"(?<=\bBearer )[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?<=\bBasic )[A-Za-z0-9+/=]{8,}", re.IGNORECASE),
)
"""An OpenAI key, user and password in a URL, and what the header `Authorization` says."""
_SHORTEST = 8


def without_secrets(text: str) -> str:
    """The text with `***` for each key: the values of environment variables that are named so, as they are and as in a
    URL, and what has the shape of one. Servers repeat keys in what they say of an error."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAME.fullmatch(name):
            text = text.replace(value, "***").replace(quote(value, safe=""), "***")
    for shape in _SHAPES:
        text = shape.sub("***", text)
    return text
