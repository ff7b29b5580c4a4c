"""Arguments of a call as JSON values. They are read with `ast` and never evaluated.

The parser hands over each argument twice: as written, and as *source*, Python in which strings are escaped, and each
reference outside of strings is a call such as `_("$1.price")`, so that `ast` can read it.
"""

import ast
import math
import re
from typing import Any

NAMES = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")
_TYPOGRAPHIC = re.compile(r"\A([“„«])(.*)([”“»])\Z", re.DOTALL)
_KEYWORD = re.compile(r"\s*([^\W\d]\w*)\s*(?:=(?!=)|:(?=\s*[\"'\[{]))")
_MOST_DIGITS = 4000


class UnreadableError(ValueError):
    """An argument is neither a literal nor plain text; the message says what is wrong with it."""


def split_keyword(written: str) -> tuple[str | None, int]:
    """The name of a keyword argument and how many characters it takes with its `=`; None and 0 without one."""
    match = _KEYWORD.match(written)
    return (match[1], match.end()) if match else (None, 0)


def read_value(written: str, source: str, *, quoted: bool) -> Any:
    """The value of one argument: a literal, a reference, or text without quotes.

    Args:
        written: The argument as the model wrote it.
        source: The same as Python source, brackets closed.
        quoted: Whether a quoted string is part of it.

    Raises:
        UnreadableError: It is not a literal.
    """
    written = without_surrogates(written.strip())
    if written in NAMES:
        return NAMES[written]
    if _NUMBER.fullmatch(written) and len(written) <= _MOST_DIGITS:
        return _number(written)
    if not quoted and written[:1] not in ("[", "{", "("):
        return _TYPOGRAPHIC.sub(r"\2", written)
    try:
        node = ast.parse(without_surrogates(source.strip()).replace("\0", "\\x00"), mode="eval").body
        return _convert(node)
    except UnreadableError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
        if not quoted and written.startswith("[") and written.endswith("]"):
            # [In Cold Blood, Fargo]: a list of texts without quotes
            items = [item.strip() for item in written[1:-1].split(",")]
            return [read_value(item, item, quoted=False) for item in items if item]
        if not quoted:
            return written
        raise UnreadableError(f"The argument {shorten(written)} is not a Python literal.") from None


def shorten(text: str, most: int = 120) -> str:
    """The text for an error message, cut in its middle when it is long."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def _convert(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() as text):
            return without_surrogates(text)
        case ast.Constant(value=bool() | None as value):
            return value
        case ast.Constant(value=int() as value):
            return _integer(value)
        case ast.Constant(value=float() as value) if math.isfinite(value):
            return value
        case ast.Name(id=name):
            return NAMES.get(name, name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)):
            value = -value if isinstance(sign, ast.USub) else value
            return _integer(value) if isinstance(value, int) else value
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [_convert(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _convert(value) for key, value in zip(keys, values, strict=True)}
        case ast.Call(func=ast.Name(id="_"), args=[ast.Constant(value=str() as reference)], keywords=[]):
            return reference
        case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_text(left) or _is_text(right):
            # "height of " + $1
            parts = _convert(left), _convert(right)
            if all(isinstance(part, str) for part in parts):
                return "".join(parts)
    raise UnreadableError(f"{shorten(_unparse(node))} is not a Python literal.")


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) or _is_text(right)
    return False


def _key(node: ast.expr | None) -> str:
    key = _convert(node) if node is not None else None
    if isinstance(key, str):
        return key
    if isinstance(key, int | float) and not isinstance(key, bool):
        return str(key)
    raise UnreadableError("The names in a dict must be strings.")


def _number(text: str) -> Any:
    plain = text.replace("_", "")
    if plain.lstrip("+-").isdecimal():
        return _integer(int(plain))
    value = float(plain)
    return value if math.isfinite(value) else text


def _integer(value: int) -> int | str:
    """The integer; as text where it has more bits than checkpoints can save. Tools that want a number read it again."""
    return value if -(2**63) <= value < 2**64 else str(value)


def _unparse(node: ast.expr) -> str:
    try:
        return re.sub(r"\b_\('([^']*)'\)", r"\1", ast.unparse(node))
    except (RecursionError, ValueError):
        return "The argument"


def without_surrogates(text: str) -> str:
    """The text without lone surrogates, which no protocol can carry; pairs of them become the character meant."""
    if text.isascii() or text.isprintable():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
