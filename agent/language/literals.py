"""Arguments of a call as JSON values. They are read with `ast` and never evaluated.

The parser hands over an argument in tokens. Of those, a source is made that `ast` can read: Python in which all strings
have one kind of quotes, and a reference outside of them is a call such as `_("$1.price")`.
"""

import ast
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from agent.language.values import without_surrogates

Kind = Literal["code", "reference", "prefix", "quote", "text", "escape", "missing"]
"""What a piece of an argument's text is: a `reference` outside of strings; the `prefix` of a string, as in `r"…"`; in
the string `text`, whose characters mean themselves, or an `escape`; a bracket that should be there and is `missing`."""

Token = tuple[Kind, str]

NAMES = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")
_TYPOGRAPHIC = re.compile(r"\A([“„«‘`「])(.*)([”“»’`」])\Z", re.DOTALL)
_KEYWORD = re.compile(
    r"\s*([^\W\d]\w*)\s*(?:=(?!=)|:(?=\s*(?:[\"'\[{]|(?:-?\d[\d.]*|\$[\w.{}\[\]]+|(?i:true|false|null|none))\s*\Z)))"
)
_MOST_DIGITS = 4000
_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\x00"})
_SOURCE: dict[Kind, Callable[[str], str]] = {
    "code": lambda text: text.replace("\n", " ").replace("\0", "\\x00"),
    "reference": lambda text: f"_({text!r})",
    "prefix": lambda _: "",
    "quote": lambda _: '"',
    "text": lambda text: text.translate(_ESCAPED),
    "escape": lambda text: text,
    "missing": lambda text: text,
}


class UnreadableError(ValueError):
    """An argument is neither a literal nor plain text; the message says what is wrong with it."""


def written_in(tokens: Iterable[Token]) -> str:
    """The text as the model wrote it."""
    return "".join([text for kind, text in tokens if kind != "missing"])


def split_keyword(tokens: list[Token]) -> tuple[str | None, list[Token]]:
    """The name of a keyword argument, if it is one, and the tokens of its value."""
    match = _KEYWORD.match(written_in(tokens))
    left = match.end() if match else 0
    for index, (kind, text) in enumerate(tokens):
        if left < len(text):
            return match and match[1], [(kind, text[left:]), *tokens[index + 1 :]]
        left -= len(text)
    return match and match[1], []


def read_value(tokens: Sequence[Token]) -> Any:
    """The value of one argument: a literal, a reference, or text without quotes.

    Raises:
        UnreadableError: It is not a literal.
    """
    read = [token for token in tokens if token[0] != "code" or not token[1].isspace()]
    kinds = [kind for kind, _ in read]
    if kinds[:1] == kinds[-1:] == ["quote"] and set(kinds[1:-1]) <= {"text"} and len(kinds) > 1:
        return without_surrogates("".join(text for _, text in read[1:-1]))
    written = without_surrogates(written_in(tokens).strip())
    if written in NAMES:
        return NAMES[written]
    if _NUMBER.fullmatch(written) and len(written) <= _MOST_DIGITS:
        return _number(written)
    quoted = "quote" in kinds
    if not quoted and written[:1] not in ("[", "{", "("):
        return _TYPOGRAPHIC.sub(r"\2", written)
    source = without_surrogates("".join(_SOURCE[kind](text) for kind, text in tokens).strip())
    try:
        return _convert(ast.parse(source, mode="eval").body)
    except UnreadableError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
        if not quoted and written.startswith("[") and written.endswith("]"):
            # [In Cold Blood, Fargo]: a list of texts without quotes
            items = [item.strip() for item in written[1:-1].split(",")]
            return [read_value([("code", item)]) for item in items if item]
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
