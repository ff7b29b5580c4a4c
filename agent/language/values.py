"""Any value as text and back."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

CUT = "… [cut: {shown:,} of {all:,} characters shown]"
LONGEST_READ = 100_000
"""Characters of a result that are looked through; what comes after them is only counted."""

_PART = re.compile(r"[^\n.!?]{0,300}(?:[.!?]+\s*|\n+|(?<=.)|\Z)", re.DOTALL)
_WORD = re.compile(r"\w{3,}")


def to_text(value: Any) -> str:
    """A result as the text that stands inside a longer argument or is shown to a model."""
    if isinstance(value, str):
        return value
    value = as_fields(value)
    if isinstance(value, dict | list | tuple):
        try:
            return json.dumps(value, ensure_ascii=False, default=lambda item: _as_json(as_fields(item)))
        except (TypeError, ValueError, RecursionError):  # keys that JSON has not, a circle
            pass
    return str(value)


def inside_text(value: Any) -> str:
    """A result inside a longer argument: a list of texts and numbers as `[a, b, c]`."""
    if isinstance(value, list) and value and not any(isinstance(item, list | dict | tuple) for item in value):
        return f"[{', '.join(to_text(item) for item in value)}]"
    return to_text(value)


def render_call(tool: str, arguments: Mapping[str, Any]) -> str:
    """A call in the plan language; a first argument that is text goes without its name, as plans have it."""
    rendered = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items()]
    if rendered and isinstance(next(iter(arguments.values())), str):
        rendered[0] = rendered[0].partition("=")[2]
    return f"{tool}({', '.join(rendered)})"


def as_list(value: Any) -> list[Any] | None:
    """The list that a result is, or shows as; None for anything else."""
    container = as_container(value)
    return list(container) if isinstance(container, list | tuple) else None


def as_container(value: Any) -> Any:
    """The dict or list that a value is, or shows as; None for a scalar."""
    value = as_fields(value)
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict | list | tuple) else None


def as_fields(value: Any) -> Any:
    """Data classes and Pydantic models as dicts; anything else as it is."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump()
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    return value


def without_surrogates(text: str) -> str:
    """The text without lone surrogates, which no protocol can carry; pairs of them become the character meant."""
    if text.isascii() or text.isprintable():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def cut(text: str, most: int) -> str:
    """The text, cut with a note where it is longer than `most` characters."""
    return text if len(text) <= most else text[:most] + CUT.format(shown=most, all=len(text))


def excerpt(text: str, most: int, about: str = "") -> str:
    """The text, or, if it has more than `most` characters, as much of it: its beginning and, from the rest, the
    sentences with most of the rarer words that `about` has, in their order; with a note that something is missing.

    Args:
        text: Any text; reading it takes time in proportion to its length, and for at most `LONGEST_READ` characters.
        most: How many characters of it may be shown.
        about: What is looked for in it, such as the arguments of the call that gave it.
    """
    wanted = {word.casefold() for word in _WORD.findall(about)}
    if len(text) <= most or not wanted:
        return cut(text, most)
    head = most // 3
    parts = [match.span() for match in _PART.finditer(text, head, min(len(text), LONGEST_READ)) if match[0]]
    found = [wanted.intersection(map(str.casefold, _WORD.findall(text, start, end))) for start, end in parts]
    frequency = Counter(word for words in found for word in words)
    if not frequency:
        return cut(text, most)
    scores = [sum(1 / frequency[word] for word in words) for words in found]
    left = most - head
    chosen = []
    for index in sorted(range(len(parts)), key=lambda index: (-scores[index], index)):
        start, end = parts[index]
        if end - start <= left:
            left -= end - start
            chosen.append(index)
        elif left < 50:
            break
    shown = [text[:head]]
    end = head
    for index in sorted(chosen):
        start, stop = parts[index]
        shown.append(text[start:stop] if start == end else f"… {text[start:stop]}")
        end = stop
    return "".join(shown) + CUT.format(shown=most, all=len(text))


def _as_json(value: Any) -> Any:
    if isinstance(value, dict | list | tuple | str | int | float | None):
        return value
    return list(value) if isinstance(value, set | frozenset) else str(value)
