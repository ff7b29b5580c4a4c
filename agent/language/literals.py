"""Arguments of a call as JSON values. They are read with `ast` and never evaluated.

The parser hands over an argument in tokens. Of those, a source is made that `ast` can read: Python in which all strings
have one kind of quotes, and a reference outside of them is a call such as `_("$1.price")`.

Text without quotes is read as text, but code is not: a comprehension, an expression with a result, a method. A plan
computes nothing, and the text of it is not what was meant.
"""

import ast
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from agent.language.references import PATH, PATTERN
from agent.language.values import UNREADABLE, without_surrogates

Kind = Literal["code", "reference", "prefix", "quote", "text", "escape", "missing"]
"""What a piece of an argument's text is: a `reference` outside of strings; the `prefix` of a string, as in `r"…"`; in
the string `text`, whose characters mean themselves, or an `escape`; a bracket that should be there and is `missing`."""

Token = tuple[Kind, str]

NAMES = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")
_KEYWORD = re.compile(
    r"\s*([^\W\d]\w*)\s*"
    r"(?:[=＝](?!=)|[:：](?=\s*(?:[\"'\[{]|(?:-?\d[\d.]*|\$[\w.{}\[\]]+|(?i:true|false|null|none))\s*\Z)))"
)
_SETS = re.compile(r"\s*[=:＝：](?!=)")
_NAMED = re.compile(r"\s*([^\s=:,\"'`]{1,100}|[^\s=:,\"'`]{0,50}(\[?[\"'`])[^\"'`=:,]{1,100}[\"'`]\]?)\s*[=＝](?!=)")
"""What may be the name of an argument, written in some other way than the tool's."""

_LAMBDA = re.compile(r"lambda\s+\w+\s*(?::|\Z)|\*{1,2}\s*(?:\$|[^\W\d]\w*\Z)")
_LEFT_OVER = re.compile(r"[(\[{]|[?!]\.|\s*=>|->|::|\.(?:\w+\(|[\[*]|\.\w|\d)")
"""What is code behind a reference, though none of Python."""

_OTHER_FORM = re.compile(
    rf"(?=.*(?:[$＄]|\{{\{{))[$＄]?[({{（｛\s]*[$＄]?\s*(?P<number>\d{{1,9}})(?P<path>{PATH})[)}}）｝\s]*(?P<rest>{PATH})",
    re.DOTALL,
)
_BARE_FORM = re.compile(
    rf"(?:task|step|call|result|output|observation|response|answer)_?(?P<number>\d{{1,9}})(?P<path>{PATH})(?P<rest>)"
    rf"|\$(?P<index_of>\d{{1,9}})\.(?P<index>\d)",
    re.IGNORECASE,
)
"""References as other languages have them: `$(1)`, `{{1}}`, `＄１`; `task_1` and `$1.0`, where they are no text in
quotes."""

_PART_OF_TASK = r"(?:result|output|observation|response|answer|value|content)"
_WORDED_FORM = re.compile(
    rf"(?:[<{{]{{1,2}}|\$\{{?|[\[(](?={_PART_OF_TASK}\s+(?:of|from)\s))\s*(?:{_PART_OF_TASK}[\s_]*(?:(?:of|from)[\s_]+)?)?"
    rf"(?:(?:task|step|call|tool)[\s_]*)?(?P<number>(?<![<{{$])\d{{1,9}})(?:[._\s]{_PART_OF_TASK}\b)?(?P<path>{PATH})(?P<rest>)"
    r"\s*[>}\])]{0,2}",
    re.IGNORECASE,
)
"""References in words, `<result of task 1>`, `{{call_1.result}}`, `$result_1`, where they are all of a text."""

_NAMED_RESULT = re.compile(rf"\$(\{{)?(?P<name>[^\W\d]\w*)(?P<path>{PATH})(?(1)\}}(?P<rest>{PATH}))")
_NAMED_IN_TEXT = re.compile(
    rf"{_NAMED_RESULT.pattern}|(?<![\w$\\{{])\{{(?P<formatted>[^\W\d]\w*)(?P<of_it>{PATH})\}}(?!\}})"
)
"""The same in a text, or as f-strings have it where the `f` was forgotten."""

_PLACEHOLDER = re.compile(r"<[^<>\n]{1,60}>|\{\s*([^\W\d]\w*)\s*\}|[?_]+")
_IN_BRACES = re.compile(r"\{([^{}\n]{1,200})\}")
_LONGEST_FORM = 100
_CODE_CHARS = 2000
"""Text without quotes that is longer than this is none of code."""

NO_VALUE = "There is no value in '{text}'; leave out an argument that has none."
NOT_A_VALUE = (
    "{text} is not a value, and a plan computes nothing. {hint} What has to be computed is a task of a tool; text "
    "stands in quotes."
)
OTHER_FORM = "{text} is not how a result is referred to; write {reference}."
NO_SUCH_RESULT = "There is no result {text}; $1 is that of task 1."
EACH = "For that of each element write {reference}."
PARTS = "`.name` behind a reference leads to a field, of each element if it is a list, and `[0]` to an element."
_PART = re.compile(r"[\w.,\[]")
_FORMAT = re.compile(r"\s*(?:![rsa])?\s*(?::[^\]]*)?\Z")
_MOST_DIGITS = 4000
_IN_QUOTES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\x00"})
_IN_CODE = str.maketrans({"\n": " ", "\0": "\\x00", "（": "(", "）": ")", "，": ","})
_SOURCE: dict[Kind, Callable[[str], str]] = {
    "code": lambda text: text.translate(_IN_CODE),
    "reference": lambda text: f" _({text!r})",
    "prefix": lambda _: "",
    "quote": lambda _: '"',
    "text": lambda text: text.translate(_IN_QUOTES),
    "escape": lambda text: text,
    "missing": lambda text: text,
}


class UnreadableError(ValueError):
    """An argument is neither a literal nor plain text; the message says what is wrong with it."""


def written_in(tokens: Iterable[Token]) -> str:
    """The text as the model wrote it."""
    return "".join([text for kind, text in tokens if kind != "missing"])


def split_keyword(tokens: list[Token], parameters: Collection[str] = ()) -> tuple[str | None, list[Token]]:
    """The name of a keyword argument, if it is one, and the tokens of its value.

    Args:
        tokens: An argument.
        parameters: The names that the tool has, which need not be identifiers, and may stand in quotes.
    """
    written = written_in(tokens)
    name, left = None, 0
    if match := _KEYWORD.match(written):
        name, left = match[1], match.end()
    else:
        start = len(written) - len(written.lstrip())
        for parameter in parameters:
            for form in (parameter, f'"{parameter}"', f"'{parameter}'"):
                if written.startswith(form, start) and (sets := _SETS.match(written, start + len(form))):
                    name, left = parameter, sets.end()
    if name not in parameters and (match := _NAMED.match(written)):
        meant = [parameter for parameter in parameters if _letters(parameter) == _letters(match[1])]
        if len(meant) == 1:
            name, left = meant[0], match.end()
    for index, (kind, text) in enumerate(tokens):
        if left < len(text):
            return name, [(kind, text[left:]), *tokens[index + 1 :]]
        left -= len(text)
    return name, []


def _letters(name: str) -> str:
    """What is the same in `user-id`, `user_id` and `userId`; nothing can be said of a name without any."""
    return "".join(filter(str.isalnum, name)).casefold() or name


def read_value(tokens: Sequence[Token], results: Mapping[str, str]) -> Any:
    """The value of one argument: a literal, a reference, or text without quotes.

    Args:
        tokens: The argument.
        results: The references to results that the plan has given names.

    Raises:
        UnreadableError: It is not a literal.
    """
    if any(kind == "prefix" and "f" in text.lower() for kind, text in tokens):
        tokens = _fill_in(tokens, results)
    if ("text", '"') in tokens or ("text", "'") in tokens:
        _check_quotes(tokens)
    read = [token for token in tokens if token[0] != "code" or not token[1].isspace()]
    kinds = [kind for kind, _ in read]
    if kinds[:1] == kinds[-1:] == ["quote"] and set(kinds[1:-1]) <= {"text"} and len(kinds) > 1:
        return _text("".join(text for _, text in read[1:-1]), results)
    written = without_surrogates(written_in(tokens).strip())
    if written in NAMES:
        return NAMES[written]
    if _NUMBER.fullmatch(written) and len(written) <= _MOST_DIGITS:
        return _number(written)
    quoted = "quote" in kinds
    if not quoted and (placeholder := _PLACEHOLDER.fullmatch(written)) and placeholder[1] not in results:
        raise UnreadableError(NO_VALUE.format(text=written))
    if not quoted and written[:1] not in ("[", "{", "("):
        return _read_bare(written, results)
    source = without_surrogates("".join(_SOURCE[kind](text) for kind, text in tokens).strip())
    try:
        return _convert(ast.parse(source, mode="eval").body, results)
    except UnreadableError:
        raise
    except UNREADABLE:
        if not quoted and written.startswith("[") and written.endswith("]"):
            # [In Cold Blood, Fargo]: a list of texts without quotes
            items = [item.strip() for item in written[1:-1].split(",")]
            return [read_value([("code", item)], results) for item in items if item]
        if not quoted:
            return _read_bare(written, results)
        error = f"The argument {shorten(written)} is not a Python literal."
        if "reference" in kinds:  # $1[?name=="Ana"], $1 ?? "none"
            error = NOT_A_VALUE.format(text=shorten(written), hint=PARTS)
        with suppress(*UNREADABLE):
            error = _no_value(ast.parse(f"({source})", mode="eval").body, results)  # a map has taken its brackets
        raise UnreadableError(error) from None


def _check_quotes(tokens: Sequence[Token]) -> None:
    """Make sure that no text with quotes in it is meant as an expression of several.

    Raises:
        UnreadableError: One is, as in `"a" or "b"`.
    """
    string: list[Token] = []
    for token in tokens:
        if not string and token[0] != "quote":
            continue
        string.append(token)
        if token[0] != "quote" or len(string) == 1:
            continue
        written, string = written_in(string), []
        parts: list[ast.stmt] = []
        with suppress(*UNREADABLE):
            parts = ast.parse(written).body if len(written) <= _CODE_CHARS else []
        is_text = [isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) for part in parts]
        if len(parts) > 1 or not all(is_text):
            raise UnreadableError(NOT_A_VALUE.format(text=shorten(written), hint=PARTS))


def _read_bare(written: str, results: Mapping[str, str]) -> str:
    """Text without quotes, or the reference that it is."""
    if results.get(written):
        return results[written]
    if PATTERN.fullmatch(written) or len(written) > _CODE_CHARS:
        return written
    if named := _NAMED_RESULT.fullmatch(written):
        if not results.get(named["name"]):
            raise UnreadableError(NO_SUCH_RESULT.format(text=written))
        return results[named["name"]] + named["path"] + (named["rest"] or "")
    _check_form(written, _BARE_FORM)
    _check_form(written, _OTHER_FORM)
    if not written.strip("=$.… "):
        raise UnreadableError(NO_VALUE.format(text=written))
    if _LAMBDA.match(written) or any(_LEFT_OVER.match(written, found.end()) for found in PATTERN.finditer(written)):
        raise UnreadableError(NOT_A_VALUE.format(text=shorten(written), hint=PARTS))
    try:
        node = ast.parse(f"({_with_calls(written).translate(_IN_CODE)})", mode="eval").body
    except UNREADABLE:
        return written
    if reference := _as_reference(node, results):
        return reference
    if any(_is_code(part, written, results) for part in ast.walk(node)):
        raise UnreadableError(_no_value(node, results))
    return written


def _text(text: str, results: Mapping[str, str]) -> str:
    """The text of a string, with the names of results as references."""

    def by_number(named: re.Match[str]) -> str:
        name = named["name"] or named["formatted"]
        if name not in results:
            return named[0]
        if not results[name]:
            raise UnreadableError(NO_SUCH_RESULT.format(text=named[0]))
        return f"${{{results[name][1:]}{named['path'] or named['of_it'] or ''}}}{named['rest'] or ''}"

    text = _NAMED_IN_TEXT.sub(by_number, text) if results else text
    check_text(text)
    return without_surrogates(text)


def check_text(text: str) -> None:
    """Make sure that a text in quotes isn't meant as a reference, or as code about one.

    Raises:
        UnreadableError: It is `{{1}}`, or a comprehension such as `[e.name for e in $1]`.
    """
    if not text.startswith("$$") and not PATTERN.fullmatch(text.strip()):
        _check_form(text, _OTHER_FORM)
        _check_form(text, _WORDED_FORM)
    if "$" not in text or " for " not in text or len(text) > _CODE_CHARS:
        return
    try:
        node = ast.parse(f"({_with_calls(text)})", mode="eval").body
    except UNREADABLE:
        return
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) and _is_code(node, text, {}):
        raise UnreadableError(_no_value(node, {}))


def _with_calls(text: str) -> str:
    """The text with its references as calls, which `ast` can read."""
    return PATTERN.sub(lambda match: match[0] if match[0].startswith("\\") else f" _({match[0]!r})", text)


def _check_form(text: str, form: re.Pattern[str]) -> None:
    """Make sure that a text isn't meant as a reference.

    Raises:
        UnreadableError: It is one in this form.
    """
    if len(text) <= _LONGEST_FORM and (match := form.fullmatch(text)):
        found = match.groupdict()
        reference = f"${int(found['number'])}{found['path']}{found['rest']}" if found["number"] else ""
        reference = reference or f"${found['index_of']}[{found['index']}]"
        raise UnreadableError(OTHER_FORM.format(text=text, reference=reference))


def _is_code(node: ast.AST, written: str, results: Mapping[str, str]) -> bool:
    """Whether this part makes a text without quotes an expression: `sqrt(16)` and `AC/DC` may well be text."""
    match node:
        case ast.Name(id=name):
            return name == "_" or name in results
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            bound = {name.id for one in node.generators for name in ast.walk(one.target) if isinstance(name, ast.Name)}
            return any(isinstance(name, ast.Name) and name.id in bound for name in ast.walk(node.elt))
        case ast.Call(func=func, args=given):
            return isinstance(func, ast.Attribute) or not given
        case ast.Subscript():
            return re.search(r"\w\[", written) is not None
    return isinstance(node, ast.Lambda | ast.DictComp | ast.Await | ast.NamedExpr)


def _as_reference(node: ast.expr, results: Mapping[str, str]) -> str | None:
    """The reference that this is: to a result by number or name, or to a part of one."""
    match node:
        case ast.Call(func=ast.Name(id="_"), args=[ast.Constant(value=str() as written)], keywords=[]):
            return written
        case ast.Name(id=result):
            return results.get(result)
        case ast.Attribute(value=whole, attr=attribute):
            step = f".{attribute}"
        case ast.Subscript(value=whole, slice=ast.Constant(value=int() | str() as place)):
            step = f'["{place}"]' if isinstance(place, str) else f"[{place}]"
        case ast.Subscript(value=whole, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as place))):
            step = f"[-{place}]"
        case ast.Subscript(value=whole, slice=ast.Slice(lower=None, upper=None, step=None)):
            step = "[:]"
        case _:
            return None
    reference = _as_reference(whole, results)
    return reference + step if reference and PATTERN.fullmatch(reference + step) else None


def _no_value(node: ast.expr, results: Mapping[str, str]) -> str:
    """What is wrong with an expression, and what to write."""
    hint = PARTS
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp) and len(node.generators) == 1:
        loop = node.generators[0]
        over = loop.iter
        if isinstance(loop.target, ast.Name) and not loop.ifs and _as_reference(over, results):
            each = _as_reference(node.elt, {loop.target.id: "$1"})
            if each:
                hint = EACH.format(reference=_unparse(over) + each.removeprefix("$1"))
    return NOT_A_VALUE.format(text=shorten(_unparse(node)), hint=hint)


def _fill_in(tokens: Sequence[Token], results: Mapping[str, str]) -> list[Token]:
    """The tokens with the results in f-strings as references: `f"{height} m"` is `"$1 m"`."""
    filled: list[Token] = []
    formatted = set[int]()
    in_string = formats = False
    for kind, text in tokens:
        if kind == "prefix":
            formats = "f" in text.lower()
        elif kind == "quote":
            in_string = not in_string
            formats = formats and in_string
        elif kind == "text" and formats and filled[-1][0] == "text":
            text = filled.pop()[1] + text
        if kind == "text" and formats:
            formatted.add(len(filled))
        filled.append((kind, text))

    def read(match: re.Match[str]) -> str:
        value = _read_bare(_FORMAT.sub("", match[1]).strip(), results)
        return value if PATTERN.fullmatch(value) else match[0]

    return [
        (kind, _IN_BRACES.sub(read, text)) if index in formatted else (kind, text)
        for index, (kind, text) in enumerate(filled)
    ]


def shorten(text: str, most: int = 120) -> str:
    """The text for an error message, cut in its middle when it is long."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def _convert(node: ast.expr, results: Mapping[str, str]) -> Any:
    if reference := _as_reference(node, results):
        return reference
    match node:
        case ast.Constant(value=str() as text):
            return _text(text, results)
        case ast.Constant(value=bool() | None as value):
            return value
        case ast.Constant(value=int() as value):
            return _integer(value)
        case ast.Constant(value=float() as value) if math.isfinite(value):
            return value
        case ast.Name(id=name) if name not in results:
            return NAMES.get(name, name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)):
            value = -value if isinstance(sign, ast.USub) else value
            return _integer(value) if isinstance(value, int) else value
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [_convert(item, results) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _convert(value, results) for key, value in zip(keys, values, strict=True)}
        case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_text(left) or _is_text(right):
            # "height of " + $1
            if any(isinstance(part, ast.Name) and part.id not in results for part in (left, right)):
                raise UnreadableError(_no_value(node, results))
            parts = _convert(left, results), _convert(right, results)
            if all(isinstance(part, str) for part in parts):
                return _joined(*parts)
    raise UnreadableError(_no_value(node, results))


def _joined(before: str, after: str) -> str:
    """Two texts as one; what follows a reference doesn't become a part of it."""
    *_, last = [None, *PATTERN.finditer(before)]
    if last is None or last[0].startswith(("\\", "${")) or last.end() < len(before) or not _PART.match(after):
        return before + after
    return f"{before[: last.start()]}${{{last[0][1:]}}}{after}"


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) or _is_text(right)
    return False


def _key(node: ast.expr | None) -> str:
    key = _convert(node, {}) if node is not None else None
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
        return re.sub(r"\b_\((['\"])(.*?)\1\)", r"\2", ast.unparse(node))
    except (RecursionError, ValueError):
        return "The argument"
