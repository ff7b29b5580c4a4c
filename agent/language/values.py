"""Any value as text and back."""

import ast
import dataclasses
import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.language.excerpt import LONGEST_READ, excerpt

# What Python's compiler thinks of a model's text (`1if x`) is nothing for the user's terminal.
warnings.filterwarnings("ignore", category=SyntaxWarning, module="<unknown>")

UNREADABLE = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, SystemError)
"""What the readers of JSON and of Python raise for a text that is none, or that goes too deep."""

_LONG_DECIMAL = re.compile(
    r'(?:(?<![\w.,:/])|(?<=":)|(?<=\d{9},))-?(?=[\d.]{16,40}(?![\w.]))\d{1,15}\.\d{1,38}(?![\w.])'
)
"""In a text, only digits that no one meant are worth a change, those of floats: 9910.880000000001. Places on a map have
fewer."""

_MANY_DIGITS = re.compile(r"\.\d{9}")
"""What texts with such a number have; it is found much faster."""

_WORDS: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
"""What tells that an integer names something, by language: regular expressions."""


def _any(kind: str) -> str:
    return "|".join(word for words in _WORDS[kind].values() for word in words)


_NAMING = re.compile(
    rf"(?:^|[\W_]|(?<=[a-z])(?=[A-Z]))(?i:{_any('words')})\W*(?:(?:{_any('is')})\W+)?$"
    rf"|#$|(?:code|number|no\.?|id) of [\w ]{{1,20}} is\W+$|(?:{_any('parts of words')})\W*[是为はが]?$"
)
_PLURAL = re.compile(r"(?<!\bi)(?<!\bwa)s(?=\W*(?:(?:are|were)\W+)?$)")

_FENCED = re.compile(r"\s*```\w*\s")


def to_text(value: Any) -> str:
    """A result as the text that stands inside a longer argument or is shown to a model."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return _without_error(value)
    value = as_fields(value)
    if isinstance(value, dict | list | tuple):
        try:
            return without_errors(
                json.dumps(value, ensure_ascii=False, default=lambda item: _for_json(as_fields(item)))
            )
        except (TypeError, ValueError, RecursionError):  # keys that JSON has not, a circle
            pass
    return str(value)


def without_errors(text: str) -> str:
    """The text with those digits of its numbers that were meant: 9910.88 for 9910.880000000001."""
    return _LONG_DECIMAL.sub(lambda match: _without_error(float(match[0])), text) if _MANY_DIGITS.search(text) else text


def _without_error(number: float) -> str:
    """The digits of a number that were meant."""
    digits, meant = str(number), str(float(f"{number:.15g}"))
    return meant if len(meant) < len(digits) - 2 else digits


def as_json(value: Any, most: int | None = None) -> Any:
    """A value for people and records: JSON, and text in its place where it is not JSON, or has more than `most`
    characters, of which the text is an excerpt."""
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(_without_error(value))
    text = to_text(value)
    is_short = most is None or len(text) <= most
    if isinstance(value, dict | list) and is_short:
        with suppress(ValueError):  # raised for a text that isn't JSON, such as that of a dict whose keys are dates
            return json.loads(text, parse_constant=lambda name: str(float(name)))
    return text if most is None else excerpt(text, most)


def is_longer(value: Any, most: int) -> bool:
    """Whether the text of a value has more characters than about so many, of which each element counts for ten. It
    looks no further than it needs."""
    left, rest = most, [value]
    while rest and left >= 0:
        value = as_fields(rest.pop())
        if isinstance(value, str | bytes | bytearray):
            left -= len(value)
        elif isinstance(value, dict):
            left -= 20 * len(value)
            rest += [*value, *value.values()] if left >= 0 else []
        elif isinstance(value, list | tuple | set | frozenset):
            left -= 10 * len(value)
            rest += value if left >= 0 else ()
        else:
            left -= 1
    return left < 0


def inside_text(value: Any) -> str:
    """A result inside a longer argument: a list of texts and numbers as `[a, b, c]`."""
    if isinstance(value, list) and value and not any(isinstance(item, list | dict | tuple) for item in value):
        return f"[{', '.join(to_text(item) for item in value)}]"
    return to_text(value)


def for_people(value: Any, about: str = "") -> str:
    """A result as people write it: numbers with at most two decimals, or three significant digits below 1, thousands
    grouped from 10,000; a list as "a, b and c".

    Args:
        value: The result.
        about: What names it, such as the field that it stands in: an integer that names something itself, `id`,
            `order_number` or `year`, keeps its digits as they are.
    """
    if isinstance(value, int | float | Decimal):
        return _number_for_people(value, about)
    value = as_fields(value)
    if isinstance(value, str):
        return _LONG_DECIMAL.sub(lambda match: _number_for_people(float(match[0])), value)
    if isinstance(value, list | tuple) and not any(as_container(item) is not None for item in value):
        *most, last = [for_people(item, _PLURAL.sub("", about)) for item in value] or ["none"]
        return f"{', '.join(most)} and {last}" if most else last
    return _LONG_DECIMAL.sub(lambda match: _plain_number(float(match[0])), to_text(value))


def is_naming(about: str) -> bool:
    """Whether an integer that this names, such as `id`, `order_number` or `year`, names something itself."""
    return _NAMING.search(about) is not None


def _number_for_people(value: float | Decimal, about: str = "") -> str:
    text = _plain_number(value)
    sign, digits, decimals = re.fullmatch(r"(-?)(\d*)(.*)", text).groups()  # type: ignore[union-attr]
    names = not decimals and is_naming(about)
    return f"{sign}{int(digits):,}{decimals}" if len(digits) > 4 and not names else text


def _plain_number(value: float | Decimal) -> str:
    """The number with as many digits as people want, without groups."""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = abs(float(value))
    text = f"{value:.2f}" if 1 <= size < 1e16 else f"{value:.3g}"
    if 1e-9 <= size < 1:
        text = f"{Decimal(text):f}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def render_call(tool: str, arguments: Mapping[str, Any], *, positional: int | None = None, mapped: bool = False) -> str:
    """A call in the plan language, on one line.

    Args:
        tool: The tool's name.
        arguments: JSON values by name.
        positional: How many of the first go without their names (see `Signature.positional`). Without a signature, the
            first one does if it is text.
        mapped: Whether it is a map.
    """
    values = [json.dumps(value, ensure_ascii=False, default=to_text) for value in arguments.values()]
    if positional is None:
        positional = 1 if values and values[0].startswith('"') else 0
    names = ["" if place < positional else f"{written_name(name)}=" for place, name in enumerate(arguments)]
    written = ", ".join(name + value for name, value in zip(names, values, strict=True))
    return f"{tool}{'.map' if mapped else ''}({without_errors(written)})"


def written_name(name: str) -> str:
    """The name of an argument as plans write it: in quotes if it is no identifier."""
    return name if name.isidentifier() else json.dumps(name, ensure_ascii=False)


def as_list(value: Any) -> list[Any] | None:
    """The list that a result is, or shows as; None for anything else."""
    container = as_container(value)
    return list(container) if isinstance(container, list | tuple) else None


def as_container(value: Any) -> Any:
    """The dict or list that a value is, or shows as; None for a scalar."""
    value = as_fields(value)
    if isinstance(value, str):
        value = _read_container(value)
    return value if isinstance(value, dict | list | tuple) else None


def _read_container(text: str) -> Any:
    """The dict or list that a text is in JSON or, if it isn't too long, as Python writes it; between fences, behind a
    byte order mark, and in a text that is JSON itself, too."""
    text = text.removeprefix("\ufeff")
    if (fenced := _FENCED.match(text)) and text.rstrip().endswith("```"):
        text = text.rstrip()[fenced.end() : -3]
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return None
    with suppress(*UNREADABLE):
        value = json.loads(text)
        return _read_container(value) if isinstance(value, str) else value
    with suppress(*UNREADABLE):
        is_long, is_text = len(text) > LONGEST_READ, text.lstrip().startswith('"')
        return None if is_long or is_text else ast.literal_eval(text.strip())
    return None


_PLAIN = (dict, list, str, int, float, bool, type(None))


def as_fields(value: Any) -> Any:
    """Data classes and Pydantic models as dicts; anything else as it is."""
    if type(value) in _PLAIN:
        return value
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


def digest(text: str) -> str:
    """What tells the text from all others, and is short."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _for_json(value: Any) -> Any:
    if isinstance(value, dict | list | tuple | str | int | float | None):
        return value
    return list(value) if isinstance(value, set | frozenset) else str(value)
