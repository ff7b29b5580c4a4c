"""Plans by function calling, for models that plan well only so: the tool calls of one streamed turn are the plan.

The first call is task 1, and `"$1"` in a later call's arguments is its result. A call leaves the reader when its JSON
object closes. `join` is a tool too; a turn without any call is the answer.
"""

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agent.language.parser import Item, PlanParser
from agent.language.tasks import Call, Element, Join
from agent.language.values import render_call
from agent.tooling.describe import purpose_of

NO_JSON = "The arguments of {tool} are no JSON object: {text}"
CUT_OFF = "The plan ends in the middle of this call."
REFERENCE = {"type": "string", "description": 'a reference such as "$1"'}
JOIN = {
    "type": "function",
    "function": {
        "name": "join",
        "description": "Ends the plan; the last call.",
        "parameters": {
            "type": "object",
            "properties": {
                "answer": {"type": "string", "description": "the whole answer, if it takes only results put in: $1 …"}
            },
        },
    },
}

_TOKENS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
_DEPTH = {"{": 1, "[": 1, "}": -1, "]": -1}


def planning_tools(tools: Iterable[BaseTool]) -> list[dict[str, Any]]:
    """The tools as functions that a model can call with references in place of values, and `join`."""
    return [*map(_with_references, tools), JOIN]


def _with_references(tool: BaseTool) -> dict[str, Any]:
    function: dict[str, Any] = convert_to_openai_tool(tool)
    parameters = function["function"].get("parameters", {})
    properties = parameters.get("properties", {})
    open_to_text = {
        name: schema if schema.get("type") == "string" and "enum" not in schema else {"anyOf": [schema, REFERENCE]}
        for name, schema in properties.items()
    }
    words = {"description": purpose_of(tool), "parameters": {**parameters, "properties": open_to_text}}
    return {**function, "function": {**function["function"], **words}}


class ToolCallReader:
    """Reads one plan from the chunks of a model's turn."""

    def __init__(self, first_number: int, tools: Collection[str]) -> None:
        """
        Args:
            first_number: The number of the first call.
            tools: The names of the tools, for a model that writes its plan all the same.
        """
        self._tools = tools
        self.ended = False
        self._number = first_number
        self._calls: dict[object, _OpenCall] = {}
        self._said = ""

    def read(self, chunk: AIMessageChunk) -> tuple[str, list[Item]]:
        """What a chunk adds to the plan: as text in the plan language, and as the items that it completes."""
        self._said += str(chunk.text)
        items: list[Item] = []
        for piece in chunk.tool_call_chunks:
            key = piece["index"] if piece["index"] is not None else piece["id"] or len(self._calls)
            call = self._calls.get(key)
            if call is None:
                items += self._finish_those_without_arguments()
                call = self._calls[key] = _OpenCall(self._number)
                self._number += 1
            call.tool += piece["name"] or ""
            if call.feed(piece["args"] or ""):
                items.append(self._item(call))
        self.ended = any(isinstance(item, Join) for item in items)
        return "".join(map(_written, items)), items

    def close(self) -> list[Item]:
        """The items that the end of the turn completes."""
        if not self._calls:
            written = PlanParser(self._tools)
            items = [*written.feed(self._said), *written.close()]
            is_plan = any(isinstance(item, Call | Element | Join) for item in items)
            return items if is_plan else [Join(answer=self._said.strip())]
        return [self._item(call) for call in self._calls.values() if not call.done]

    def _finish_those_without_arguments(self) -> list[Item]:
        return [self._item(call) for call in self._calls.values() if not call.done and not call.text.strip()]

    def _item(self, call: "_OpenCall") -> Item:
        arguments, error = call.arguments()
        call.done = True
        if call.tool == "join":
            answer = arguments.get("answer")
            return Join(call.number, answer if isinstance(answer, str) else "")
        return Call(call.number, call.tool, keywords=arguments, text=call.text if error else "", error=error)


class _OpenCall:
    """A call whose arguments are arriving."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tool = ""
        self.done = False
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def feed(self, piece: str) -> bool:
        """Whether the JSON object closes in this piece."""
        if self.done or not piece:
            return False
        self._pieces.append(piece)
        tokens = _TOKENS.findall(piece, self._escaped)
        self._escaped = tokens[-1:] == ["\\"]  # the character that it escapes comes with the next piece
        for token in tokens:
            if token == '"':
                self._in_string = not self._in_string
            elif not self._in_string and token in _DEPTH:
                self._depth += _DEPTH[token]
                if self._depth == 0:
                    return True
        return False

    def arguments(self) -> tuple[dict[str, Any], str | None]:
        """The arguments, or why they can't be read."""
        text = self.text.strip() or "{}"
        try:
            arguments = json.loads(text)
        except (ValueError, RecursionError):
            return {}, CUT_OFF if self._depth else NO_JSON.format(tool=self.tool, text=text[:200])
        if not isinstance(arguments, dict):
            return {}, NO_JSON.format(tool=self.tool, text=text[:200])
        return arguments, None


def _written(item: Item) -> str:
    match item:
        case Join(number, answer):
            return f"{number}. join({json.dumps(answer, ensure_ascii=False) if answer else ''})\n"
        case Call(number=number, tool=tool, keywords=keywords):
            return f"{number}. {render_call(tool, keywords)}\n"
        case _:
            return ""
