"""Whole calls as models mostly write them, `2. search("K2", limit=3)`, read with one regular expression.

This is a short cut and nothing else: what it reads is what the parser would make of it, and what it does not know it
leaves to the parser. Possessive quantifiers: no text makes it go back.
"""

import re
from typing import Any

from agent.language.tasks import Call

_STRING = r"\"[^\"\\\r\n\0\ud800-\udfff]*+\"|'[^'\\\r\n\0\ud800-\udfff]*+'"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,14}+)(?:\.[0-9]{1,15}+)?+"
_REFERENCE = r"\$[0-9]{1,9}+"
_SCALAR = rf"(?:{_STRING}|{_NUMBER}|{_REFERENCE})"
_LIST = rf"\[{_SCALAR}(?:, ?{_SCALAR})*+\]"
_ARGUMENT = rf"(?:[^\W\d]\w*+=)?+(?:{_SCALAR}|{_LIST})"
_HEAD = r"[ \r\n]{0,8}+([0-9]{1,9}+)\. ?((?!(?i:join)\()[A-Za-z_]\w{0,60}+)\("

_CALL = re.compile(rf"{_HEAD}({_ARGUMENT}(?:, ?{_ARGUMENT})*+)?+\)")
_PARTS = re.compile(rf"(?:([^\W\d]\w*+)=)?+(?:({_STRING})|({_LIST})|({_NUMBER})|({_REFERENCE}))(?:, ?)?+")
_OPEN_HEAD = re.compile(r"[ \r\n]{0,8}+(?:[0-9]{1,9}+(?:\.(?: ?(?:[A-Za-z_]\w{0,60}+)?+)?+)?+)?+")
_OPEN_CALL = re.compile(rf"{_HEAD}[^)\n]*+")

LONGEST = 100_000
"""Characters of a call that is read so. The parser counts what a longer one has in it."""

BEFORE_HEAD = re.compile(r"[(\n<]")
"""What may end the beginning of a call."""

BEFORE_END = re.compile(r"[)\n]")
"""What may end a call."""


def read_call(text: str, position: int) -> tuple[Call, int] | None:
    """The call that the text has from this position on, and where it ends; None if it is not one of these."""
    match = _CALL.match(text, position)
    if match is None or match.end() - position > LONGEST:
        return None
    number, tool, arguments = match.groups(default="")
    values: list[Any] = []
    keywords: dict[str, Any] = {}
    for name, *part in _PARTS.findall(arguments):
        if name:
            keywords[name] = _value(*part)
        else:
            values.append(_value(*part))
    return Call(int(number), tool, values, keywords, arguments), match.end()


def may_begin_call(text: str, position: int) -> bool | None:
    """Whether the text from this position on may become such a call: None if not even its head is complete."""
    if _OPEN_HEAD.fullmatch(text, position):
        return None
    return bool(_OPEN_CALL.fullmatch(text, position))


def _value(string: str, items: str, digits: str, reference: str) -> Any:
    """The value of an argument, of which one of these is there."""
    if string:
        return string[1:-1]
    if items:
        return [_value(*part) for _, *part in _PARTS.findall(items[1:-1])]
    if reference:
        return reference
    return float(digits) if "." in digits else int(digits)
