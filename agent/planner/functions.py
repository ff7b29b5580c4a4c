"""The tools as functions that a model can call, with names that providers accept, and references in place of values."""

import itertools
import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agent.conversation.messages import LONGEST_PROVIDER_NAME, provider_name
from agent.language.parser import PlanParser
from agent.language.tasks import Call, Join, Signature
from agent.language.values import render_call
from agent.language.written_calls import Arguments, read_written_calls, unwrapped
from agent.tooling.describe import purpose_of, result_type, signature_of

REFERENCE = {"type": "string", "description": 'a reference such as "$1"'}
JOIN = {
    "type": "function",
    "function": {
        "name": "join",
        "description": "Ends the plan; the last call.",
        "parameters": {
            "type": "object",
            "properties": {
                "answer": {
                    "type": "string",
                    "description": "the whole answer, if it takes only results put in, and nothing is changed: $1 …",
                }
            },
        },
    },
}

_ADORNED = re.compile(r"\A(?:functions?|default_api|tools?)[./:]|(?::\d+|\(\)|<[|｜].*)\Z")


class Functions:
    """The tools as functions that a model can call with references in place of values, and `join`.

    Providers refuse other names than of ASCII letters, digits, `_` and `-`, up to 64. Tools and arguments have such
    names here, and their own in the calls.
    """

    def __init__(self, tools: Iterable[BaseTool]) -> None:
        self._tools: dict[str, str] = {}
        self._arguments: dict[str, dict[str, str]] = {}
        self._inner: dict[str, dict[str, str]] = {}
        self._signatures: dict[str, Signature] = {}
        self.specifications = [*map(self._specify, tools), JOIN]
        """As providers want them."""

    def _specify(self, tool: BaseTool) -> dict[str, Any]:
        specification: dict[str, Any] = convert_to_openai_tool(tool)
        function = specification["function"]
        name = _accepted(tool.name, {*self._tools, "join"})
        self._tools[name] = tool.name
        self._signatures[tool.name] = signature_of(tool)
        arguments = self._arguments[tool.name] = {}
        inner = self._inner[tool.name] = {}
        parameters = _renamed(function.get("parameters", {}), arguments, inner)
        properties = {name: _or_reference(schema) for name, schema in (parameters.get("properties") or {}).items()}
        parameters = {**parameters, "properties": properties}
        described = purpose_of(tool)
        if (result := result_type(tool)) not in ("", "None"):
            described += f" (Gives {result}.)"  # there is no other place for it, and plans refer to parts of results
        return {**specification, "function": {"name": name, "description": described, "parameters": parameters}}

    @property
    def names(self) -> set[str]:
        """What a model may call, as sent and as the tools' own."""
        return {*self._tools, *self._tools.values(), "join"}

    def takes_none(self, name: str) -> bool:
        """Whether the function of this name has no arguments."""
        own = self._arguments.get(self._tool(name))
        return name == "join" or (own is not None and not own)

    def _tool(self, name: str) -> str:
        bare = _ADORNED.sub("", name)
        return self._tools.get(name) or self._tools.get(bare) or (bare if bare in self._arguments else name)

    @property
    def signatures(self) -> dict[str, Signature]:
        """Those of what a model may call, as sent and as the tools' own."""
        return {**{sent: self._signatures[tool] for sent, tool in self._tools.items()}, **self._signatures}

    def own(self, name: str, arguments: Arguments) -> tuple[str, Arguments]:
        """The tool and its arguments, by their own names."""
        tool = self._tool(name)
        own, inner = self._arguments.get(tool, {}), self._inner.get(tool, {})
        if own:
            arguments = unwrapped(arguments, name, [*own, *own.values()])
        if isinstance(arguments, list):
            return tool, [_with_own_names(value, inner) for value in arguments]
        return tool, {own.get(key, key): _with_own_names(value, inner) for key, value in arguments.items()}

    def in_words(self, name: str, text: str) -> Arguments | None:
        """Arguments that stand as in the plan language, `query="K2"`, or between marks; None if they don't."""
        if (written := read_written_calls(f"<function={name}>{text}</function>", {name})) and written[0][1]:
            return written[0][1]
        own = self._arguments.get(self._tool(name), {})
        key, colon, value = text.partition(":")
        if colon and key.strip() in own and "\n" not in text:
            return {key.strip(): value.strip().strip("\"'")}
        content = text.strip().removeprefix(name).strip()
        parser = PlanParser({name})
        items = parser.feed(f"1. {name}{content if content.startswith('(') else f'({content})'}\n")
        match items:
            case [Call(error=None, mapped=False, arguments=arguments, keywords=keywords)]:
                if len(arguments) == 1 and isinstance(arguments[0], list) and len(arguments[0]) <= len(own):
                    arguments = arguments[0]
                if len(arguments) <= len(own):
                    return {**dict(zip(own, arguments, strict=False)), **keywords} or None
        return None

    def written(self, item: Call | Join) -> str:
        """A line of the plan, in the plan language."""
        match item:
            case Join(number, answer):
                return f"{number}. join({json.dumps(answer, ensure_ascii=False) if answer else ''})\n"
            case Call(number=number, tool=tool, keywords=keywords):
                signature = self._signatures.get(tool)
                positional = signature.positional(keywords) if signature else 0
                return f"{number}. {render_call(tool, keywords, positional=positional)}\n"


def _accepted(name: str, taken: Collection[str]) -> str:
    """A name that providers accept, and that is not taken."""
    plain = provider_name(name)
    if not (plain[:1].isalpha() or plain.startswith("_")):
        plain = provider_name(f"_{plain}")
    numbered = (f"{plain[: LONGEST_PROVIDER_NAME - 1 - len(str(count))]}_{count}" for count in itertools.count(2))
    return next(accepted for accepted in itertools.chain([plain], numbered) if accepted not in taken)


def _renamed(schema: Any, names: dict[str, str], inner: dict[str, str]) -> Any:
    """The schema with accepted names, whose own ones are put into `names` for its fields, and into `inner` for those of
    objects in it."""
    if isinstance(schema, list):
        return [_renamed(one, names, inner) for one in schema]
    if not isinstance(schema, dict):
        return schema
    renamed: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            renamed[key] = {_sent(name, names): _renamed(field, inner, inner) for name, field in value.items()}
        elif key in ("default", "examples", "enum", "const"):
            renamed[key] = value
        else:
            renamed[key] = _renamed(value, names if key in ("anyOf", "oneOf", "allOf") else inner, inner)
    if isinstance(renamed.get("required"), list):
        sent = {own: sent for sent, own in names.items()}
        renamed["required"] = [sent.get(name, name) for name in renamed["required"] if isinstance(name, str)]
    return renamed


def _sent(name: str, names: dict[str, str]) -> str:
    """The accepted name of a field, which is put into `names` with its own one."""
    sent = next((sent for sent, own in names.items() if own == name), None) or _accepted(name, names)
    names[sent] = name
    return sent


def _with_own_names(value: Any, inner: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_own_names(one, inner) for one in value]
    if isinstance(value, dict):
        return {inner.get(key, key): _with_own_names(one, inner) for key, one in value.items()}
    return value


def _or_reference(schema: Any) -> Any:
    is_text = isinstance(schema, dict) and schema.get("type") == "string" and "enum" not in schema
    return schema if is_text else {"anyOf": [schema, REFERENCE]}
