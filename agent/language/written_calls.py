"""Calls that a model wrote into its text, where its server doesn't know the model's own form of them.

Each family of models has its form: `<tool_call>{"name": "search", "arguments": {…}}</tool_call>`, a name with its
object behind it, a name with its arguments in marks of their own, or Python. A call has a tool's name in it, whatever
stands around.
"""

import ast
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from agent.language.values import UNREADABLE

Arguments = dict[str, Any] | list[Any]
"""By name, or in order."""

Written = tuple[str, Arguments]
"""A call's name and arguments."""

_NAME_KEYS = ("name", "tool_name", "function_name", "tool", "function", "recipient_name", "action")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "kwargs")
_LIST_KEYS = ("tool_calls", "tool_uses", "calls", "function_calls", "tools")

_ELEMENT = r"<(?P<{0}>\w{{1,40}})>(?P<{0}_value>[^<>]*)</(?P={0})>"
_GAP = (
    r"(?=(?P<gap>(?:\s+|[\"'>:\]]|\d+(?=[<\"])|<(?!parameter\b|arg_|function|invoke|tool_call>|/|"
    + _ELEMENT.format("skipped")[1:]
    + r")[^<>{}\n]{1,40}>|</(?:tool_)?name>|\[ARGS\]|\[CALL_ID\]\w*"
    r"|```(?:json)?|json(?=\s*[\n{<])|(?:Action Input|Input|Arguments|Parameters|Args)\s*:){0,50}))(?P=gap)"
)
"""A lookahead takes what it finds once and for all, as a possessive group does from Python 3.11.5 on."""

_OPEN_OBJECT = re.compile(_GAP + r"(?=\{)")
_PAIR = re.compile(
    _GAP + r"(?:<parameter(?:=|\s+name\s*=\s*)[\"']?(?P<key>[^\"'<>\n]+)[\"']?[^<>]*>"
    r"(?P<value>.*?)(?:</parameter>|(?=</?(?:parameter|function|invoke|tool_call)\b)|\Z)"
    r"|<arg_key>(?P<arg_key>.*?)</arg_key>\s*<arg_value>(?P<arg_value>.*?)(?:</arg_value>|\Z))",
    re.DOTALL,
)
_IN_ELEMENT = re.compile(_GAP + _ELEMENT.format("key"))
_ATTRIBUTE = re.compile(r"[\s>,]+(?P<key>[^\W\d]\w*)\s*=\s*([\"'])(?P<value>.*?)\2", re.DOTALL)
_ACTION_INPUT = re.compile(r"\s*Action Input\s*:[ \t]*(?P<value>[^\s{][^\n]*)")
_NO_ARGUMENTS = re.compile(r"[\"']?\s*/?>\s*</(?:function|invoke)>")
_CALL_MARK = re.compile(
    r"</?[|｜]?[a-z][\w|｜▁=\"' ]{0,40}[|｜]?>|(?-i:\[/?[A-Z_]{4,}\])|```\w*|\bTOOL_CALL\s*:|\bprint\s*(?=\()",
    re.IGNORECASE,
)
_NAMESPACE = re.compile(r"\b(?:functions?|default_api|tools?)\.(?=[^\W\d])")
_BARE_KEY = re.compile(r"([{,]\s*)([^\W\d]\w*)\s*:")
_BARE_VALUE = re.compile(r"(:\s*)(?!(?:true|false|null|-?\d[\d.]*)\s*[,}])([^\s\"'\[{,][^\"\[\]{},]*?)(?=\s*[,}])")
_COMMENT = re.compile(r"(?<=[,{\[\s])//[^\n\"]*(?=\n)")
_PREFIX = re.compile(r"(</?)\w+:(?=(?:invoke|parameter|function|tool)\w*\b)")
_METHOD = re.compile(r"(?<=\w)\.call(?=\()")
_END_OF_CALL = re.compile(r"</tool_call>|\[/TOOL_CALLS?\]|<[|｜]/?tool[_▁]call\w*[|｜]>")
_OPENING = re.compile(r"[\[{]")
_TOKEN = re.compile(r"\"[^\"\\]*+(?:\\.[^\"\\]*+)*\"|'[^'\\]*+(?:\\.[^'\\]*+)*'|[\[{}\]]", re.DOTALL)
_LOOKS_LIKE_CALLS = re.compile(
    r"<[|｜]?/?(?:tool|function|invoke|parameter|python_|arg_key)|\[/?TOOL_|\bfunctools\[|\bto=functions\."
    rf"|[\"'](?:{'|'.join(_NAME_KEYS)})[\"']\s*:.*[\"'](?:{'|'.join(_ARGUMENT_KEYS)})[\"']\s*:",
    re.IGNORECASE | re.DOTALL,
)
_ALL_CALLS = re.compile(r"\s*Action\s*:.*|[\s`\[]*[^\W\d][\w.]*\(\s*\w+\s*=.*\)[\s`\]]*", re.DOTALL)
_MOST_UNREADABLE = 100
"""Brackets with which no object begins. To know, all that is behind one may have to be read."""

_DEEPEST = 100
"""Brackets in each other."""

_MOST_UNCLOSED = 6
_OWN_MARKS = {'<|"|>': '"', "<escape>": '"', "｜DSML｜": ""}
"""Quotation marks of Gemma, the name of DeepSeek."""


def read_written_calls(text: str, tools: Collection[str]) -> list[Written]:
    """The calls in a text, in order; those in Python are left to the parser.

    Args:
        text: What the model said, without its thoughts.
        tools: The names that can be called.
    """
    in_marks = bool(_LOOKS_LIKE_CALLS.search(text))
    for own, common in _OWN_MARKS.items():
        text = text.replace(own, common)
    text = _PREFIX.sub(r"\1", _NAMESPACE.sub("", text))
    return list(_after_names(text, tools)) or list(_in_json(text, tools, any_name=in_marks))


def without_marks(text: str) -> str:
    """The text without what models set around calls in Python."""
    return _CALL_MARK.sub("\n", _METHOD.sub("", _NAMESPACE.sub("", text))).strip()


def looks_like_calls(text: str, tools: Collection[str]) -> bool:
    """Whether a text is meant to be a call rather than an answer, even if none can be read from it."""
    names = "|".join(map(re.escape, tools))
    named = rf"[\"'](?:{'|'.join(_NAME_KEYS)})[\"']\s*:\s*[\"'](?:{names})[\"']"
    return bool(_LOOKS_LIKE_CALLS.search(text) or _ALL_CALLS.fullmatch(text) or re.search(named, text))


def _after_names(text: str, tools: Collection[str]) -> Iterator[Written]:
    """Names with an object, or with arguments in marks, behind them."""
    names = "|".join(sorted(map(re.escape, filter(None, tools)), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w.-])(?<!</)(?<!\w/)(?:{names})(?![\w.-]|\s*\()")
    position = 0
    while names and (name := pattern.search(text, position)):
        position = name.end()
        opening = _OPEN_OBJECT.match(text, position)
        if opening and (read := _object_at(text, opening.end())):
            position = read[1]
            yield name[0], read[0]
            continue
        arguments: dict[str, Any] = {}
        while (pair := _PAIR.match(text, position)) and (pair.end() < len(text) or (pair["value"] or "").strip()):
            arguments[(pair["key"] or pair["arg_key"]).strip()] = _value(pair["value"] or pair["arg_value"] or "")
            position = pair.end()
        before = text[max(name.start() - 2, 0) : name.start()]
        in_marks = before[-1:] in ("<", ">", "=") and before[:1] != "`"
        for form in (_IN_ELEMENT, _ATTRIBUTE) if in_marks and not arguments else ():
            while pair := form.match(text, position):
                arguments[pair["key"]] = _value(pair["value" if form is _ATTRIBUTE else "key_value"])
                position = pair.end()
        if given := _ACTION_INPUT.match(text, position):
            position = given.end()
            yield name[0], [_value(given["value"].strip())]
        elif arguments or _NO_ARGUMENTS.match(text, position):
            yield name[0], arguments


def _in_json(text: str, tools: Collection[str], *, any_name: bool) -> Iterator[Written]:
    position = unreadable = 0
    ends = [end.start() for end in _END_OF_CALL.finditer(text)]
    while unreadable < _MOST_UNREADABLE and (begin := _OPENING.search(text, position)):
        read = _object_at(text, begin.start())
        if read is None and (end := next((end for end in ends if end > begin.start()), None)):
            read = _unclosed(text[begin.start() : end], end)
        unreadable += read is None
        position = read[1] if read else begin.end()
        if read:
            yield from _calls_of(read[0], tools, any_name=any_name)


def _calls_of(value: Any, tools: Collection[str], *, any_name: bool) -> Iterator[Written]:
    if isinstance(value, list):
        for item in value:
            yield from _calls_of(item, tools, any_name=any_name)
    if not isinstance(value, dict):
        return
    for key in _LIST_KEYS:
        if isinstance(value.get(key), list):
            yield from _calls_of(value[key], tools, any_name=any_name)
            return
    if isinstance(value.get("function"), dict):
        yield from _calls_of(value["function"], tools, any_name=any_name)
        return
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    given = next((value[key] for key in _ARGUMENT_KEYS if key in value), None)
    if name is None and len(value) == 1:
        ((name, given),) = value.items()
    if given is None:
        arguments: Any = {key: one for key, one in value.items() if key not in (*_NAME_KEYS, "type", "id", "thought")}
    elif isinstance(given, str):
        arguments = read_arguments(given)
        arguments = [given] if arguments is None else arguments
    else:
        arguments = given
    is_call = name in tools or (any_name and given is not None)
    if isinstance(name, str) and isinstance(arguments, dict | list) and is_call:
        yield name, arguments


def _object_at(text: str, position: int) -> tuple[Any, int] | None:
    """The object or list that begins at this position, in JSON or something near it, and where it ends."""
    depth = 0
    for token in _TOKEN.finditer(text, position):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth > _DEEPEST:
            return None
        if depth == 0:
            value = _near_json(text[position : token.end()])
            return None if value is None else (value, token.end())
    return None


def _unclosed(text: str, end: int) -> tuple[Any, int] | None:
    """The object that this text begins with, which lacks brackets at its end, and where it ends."""
    open_: list[str] = []
    for token in _TOKEN.findall(text):
        if token in "[{":
            open_.append("]" if token == "[" else "}")
        elif token in "]}" and open_:
            open_.pop()
    value = _near_json(text.rstrip() + "".join(reversed(open_))) if 0 < len(open_) < _MOST_UNCLOSED else None
    return None if value is None else (value, end)


def completed(text: str) -> dict[str, Any] | None:
    """The object that a text of arguments is, of which brackets at the end are missing; None if more is."""
    begin = text.find("{")
    if begin < 0 or text.rstrip()[-1:] not in ('"', "'", "}", "]"):
        return None
    read = _unclosed(text[begin:], 0)
    return read[0] if read and isinstance(read[0], dict) else None


def _near_json(text: str) -> Any:
    """A value in JSON, in Python, or in JSON with bare names, bare texts or comments; None if it is in none of them."""
    bare = _BARE_KEY.sub(r'\1"\2":', text)
    forms = (
        (_json, text),
        (ast.literal_eval, text),
        (_json, bare),
        (_json, _COMMENT.sub("", text)),
        (_json, _BARE_VALUE.sub(r'\1"\2"', bare)),
    )
    for read, written in forms:
        try:
            value = read(written)
        except UNREADABLE:
            continue
        if _is_json(value):
            return value
    return None


def _json(text: str) -> Any:
    return json.loads(text, strict=False)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except UNREADABLE:
        return False
    return True


def read_arguments(text: str) -> dict[str, Any] | None:
    """The object that a text of arguments is: JSON, JSON in a JSON string, a Python dict, whatever stands around it.
    None if there is none."""
    text = text.strip()
    if not text:
        return {}
    try:
        value = _json(text)
    except UNREADABLE:
        begin = text.find("{")
        read = _object_at(text, begin) if begin >= 0 else None
        value = read[0] if read else None
    if isinstance(value, str) and value != text:
        return read_arguments(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None and text == "null":
        return {}
    return value if isinstance(value, dict) else None


def unwrapped(arguments: Arguments, tool: str, parameters: Collection[str]) -> Arguments:
    """The arguments without what a model has wrapped around them: the whole call, or the word for them.

    Args:
        arguments: As they were written.
        tool: The name of the tool.
        parameters: The names of its arguments, none of which is such a wrapping.
    """
    around = {*_ARGUMENT_KEYS, "function", tool} - {*parameters}
    while isinstance(arguments, dict):
        inner = [value for key, value in arguments.items() if key in around and isinstance(value, dict | str)]
        others = arguments.keys() - around - {*_NAME_KEYS, "type", "id"}
        if len(inner) != 1 or others or arguments.keys() & {*parameters}:
            break
        found = read_arguments(inner[0]) if isinstance(inner[0], str) else inner[0]
        if not isinstance(found, dict):
            break
        arguments = found
    return arguments


def _value(text: str) -> Any:
    """An argument that stands between marks: JSON, or text."""
    text = text.removeprefix("\n").removesuffix("\n")
    try:
        value = json.loads(text)
    except UNREADABLE:
        return text
    return text if isinstance(value, float) and not _is_json(value) else value
