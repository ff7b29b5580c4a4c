"""Plans by function calling, for models that plan well only so: the tool calls of one streamed turn are the plan.

The first call is task 1, and `"$1"` in a later call's arguments is its result. A call leaves the reader when its JSON
object closes. `join` is a tool too; a turn without any call is the answer.
"""

import json
import re
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk

from agent.language.call import CUT_OFF
from agent.language.conditions import condition_error, may_be_conditional
from agent.language.literals import UnreadableError, check_text
from agent.language.parser import Item, PlanParser
from agent.language.reasoning import without_thoughts
from agent.language.tasks import Call, Element, Join
from agent.language.values import to_text, without_surrogates
from agent.language.written_calls import (
    Arguments,
    completed,
    looks_like_calls,
    read_arguments,
    read_written_calls,
    without_marks,
)
from agent.planner.functions import Functions
from agent.servers.any_server import end_of, whole_calls

NO_JSON = "The arguments of {tool} are no JSON object: {text}"
NAMELESS = "a call without a name"
_TOKENS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
_ANSWER = re.compile(r'\s*\{\s*"answer"\s*:\s*"(?P<answer>(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*)')
"""The answer in the arguments of `join`, as far as they are there; nothing behind a character in two halves."""

_WRITTEN_CALL = re.compile(
    r"<(tool_call|function|invoke)\b.*?</\1>|```.*?```|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}|</?[\w|｜][^<>]*>",
    re.DOTALL,
)
"""A call that is written as text, or a mark around one."""

MOST_SAID = 5000
"""Characters beside calls that are looked at."""

_DEPTH = {"{": 1, "[": 1, "}": -1, "]": -1}


class ToolCallReader:
    """Reads one plan from the chunks of a model's turn.

    Servers mark the pieces of a call each in their own way: by index, by id, by both or neither; with the name once or
    each time; all calls with one index. A piece belongs to the call with its id or index, else to the last one. It
    begins another call if its id is another one, or if it has a name and that call's object has closed.
    """

    certain = True
    """Whether what has been read stands. Calls are no thoughts."""

    rest = ""
    """What has come behind the plan's end. Nothing that is said beside calls is part of a plan."""

    def __init__(self, first_number: int, functions: Functions) -> None:
        """
        Args:
            first_number: The number of the first call.
            functions: What the model may call.
        """
        self.ended = False
        self._functions = functions
        self._number = first_number
        self._calls: list[_OpenCall] = []
        self._given_out = 0
        self._said = ""
        self._is_whole = False
        """Whether the model ended its turn, and was not cut off."""

    @property
    def join(self) -> Join | None:
        """The end of the plan that is being read, with its answer as far as there is of it."""
        call = self._calls[-1] if self._calls else None
        if call is None or call.name != "join" or self._given_out < len(self._calls) - 1:
            return None
        if (read := _ANSWER.match(call.text)) is None:
            return None
        return Join(call.number, without_surrogates(json.loads(f'"{read["answer"]}"', strict=False)))

    def read(self, chunk: AIMessage) -> tuple[str, list[Item], bool]:
        """What a chunk adds to the plan: as text in the plan language, and as the items that it completes; and whether
        the plan begins anew with it, which it never does."""
        self._said += str(chunk.text)
        self._is_whole = self._is_whole or end_of(chunk)[1]
        seen: set[int] = set()
        for piece in chunk.tool_call_chunks if isinstance(chunk, AIMessageChunk) else whole_calls(chunk):
            self._take(piece, seen)
        items = self._certain()
        self.ended = any(isinstance(item, Join) for item in items)
        return "".join(map(self._functions.written, items)), [*items], False

    def close(self) -> list[Item]:
        """The items that the end of the turn completes."""
        if self._calls:
            return [self._item(call) for call in self._calls[self._given_out :] if call.name or call.text]
        said = without_thoughts(self._said)
        names = self._functions.names
        if written := read_written_calls(said, names):
            return [self._as_item(self._number + index, *call) for index, call in enumerate(written)]
        parser = PlanParser(self._functions.signatures)
        items = [self._own_item(item) for item in (*parser.feed(without_marks(said)), *parser.close())]
        if any(isinstance(item, Call | Element | Join) for item in items):
            return items
        return [Join(answer="" if looks_like_calls(said, names) else said.strip())]

    def _own_item(self, item: Item) -> Item:
        """The item with its tool's own name."""
        return replace(item, tool=self._functions.own(item.tool, {})[0]) if isinstance(item, Call | Element) else item

    def _take(self, piece: ToolCallChunk, seen: set[int]) -> None:
        id_, name, text = piece["id"], (piece["name"] or "").strip(), piece["args"] or ""
        call = self._of(piece["index"], id_, goes_on=not name)
        if call is None or self._begins_another(call, id_, name, text, in_one_chunk=call.number in seen):
            if not name and call:
                name = call.name_again
            call = self._open(piece["index"])
        seen.add(call.number)
        call.id = call.id or id_
        call.take_name(name)
        while (rest := call.feed(text)) and not call.is_empty and rest != call.text:
            # Another object in the same piece: of another call of this tool.
            text, called = rest, call.name
            call = self._open(piece["index"])
            call.take_name(called)

    def _open(self, index: object) -> "_OpenCall":
        """Another call."""
        call = _OpenCall(self._number, index)
        self._number += 1
        self._calls.append(call)
        return call

    def _of(self, index: object, id_: str | None, *, goes_on: bool) -> "_OpenCall | None":
        """The call that a piece belongs to, as far as id and index tell; without either, and with an index that counts
        pieces, it is the last one."""
        last = self._calls[-1] if self._calls else None
        for call in reversed(self._calls) if id_ else ():
            if call.id == id_ and (index is None or call.index in (None, index)):
                return call
        if index is None:
            return last
        same = next((call for call in reversed(self._calls) if call.index == index), None)
        return last if same is None and goes_on and not id_ else same

    def _begins_another(self, call: "_OpenCall", id_: str | None, name: str, text: str, *, in_one_chunk: bool) -> bool:
        """Whether a piece is not about this call, which id and index say, but about one of its own."""
        if not call.name:
            return False
        if id_ and call.id == id_:
            return bool(name) and call.closed and name != call.name
        if in_one_chunk and name:
            return True
        if id_ and call.id:
            goes_on = call.is_open and name in ("", call.name) and not text.lstrip().startswith("{")
            return not goes_on and bool(name or text.strip())
        if not name:
            return call.closed and not call.is_empty and bool(call.name_again and text.strip())
        if call.closed:
            return name != call.name or not (call.is_empty or not text.strip())
        return name != call.name if call.text else not self._may_go_on(call.name, name)

    def _may_go_on(self, name: str, piece: str) -> bool:
        """Whether a piece of a name goes on with, or repeats, what there is of it."""
        return piece.startswith(name) or any(known.startswith(name + piece) for known in self._functions.names)

    def _certain(self) -> list[Call | Join]:
        """The calls, in order, to which nothing can be added any more."""
        last = max((place for place, call in enumerate(self._calls) if call.closed), default=-1)
        items: list[Call | Join] = []
        for place in range(self._given_out, len(self._calls)):
            call = self._calls[place]
            if self._functions.takes_none(call.name):
                is_certain = call.closed or (not call.text and place < len(self._calls) - 1)
            else:
                is_certain = call.closed and (not call.is_empty or place < last)
            if not is_certain or not call.name:
                break
            items.append(self._item(call))
            self._given_out += 1
        return items

    def _item(self, call: "_OpenCall") -> Call | Join:
        arguments: Arguments | None = call.arguments()
        if arguments is None and call.is_open and self._is_whole:
            arguments = completed(call.text)
        elif arguments is None and not call.is_open:
            arguments = self._functions.in_words(call.name, call.text)
        if arguments is None:
            error = CUT_OFF if call.is_open else NO_JSON.format(tool=call.name or NAMELESS, text=call.text[:200])
            tool, _ = self._functions.own(call.name, {})
            return Call(call.number, tool, text=call.text, error=error) if tool != "join" else Join(call.number)
        return self._as_item(call.number, call.name, arguments)

    def _as_item(self, number: int, name: str, arguments: Arguments) -> Call | Join:
        if name == "join":
            answer = arguments.get("answer") if isinstance(arguments, dict) else next(iter(arguments), "")
            return Join(number, answer if isinstance(answer, str) else "")
        tool, arguments = self._functions.own(name, arguments)
        signature = self._functions.signatures.get(tool)
        if signature and signature.changes:
            said = _WRITTEN_CALL.sub(" ", without_thoughts(self._said)[:MOST_SAID])
            if may_be_conditional(said, beside=False):
                return Call(number, tool, text=to_text(arguments), error=condition_error(said))
        try:
            _check_texts(arguments)
        except UnreadableError as error:
            return Call(number, tool, text=to_text(arguments), error=str(error))
        if isinstance(arguments, list):
            return Call(number, tool, arguments=arguments)
        return Call(number, tool, keywords=arguments)


def _check_texts(value: Any) -> None:
    """Make sure that no text in the arguments is meant as a reference, or as code about one.

    Raises:
        UnreadableError: One is.
    """
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            check_text(value)
        elif isinstance(value, dict | list):
            rest += value.values() if isinstance(value, dict) else value


class _OpenCall:
    """A call whose arguments are arriving."""

    def __init__(self, number: int, index: object) -> None:
        self.number = number
        self.index = index
        self.id: str | None = None
        self.name = ""
        self.name_again = ""
        """A name that came behind the closed object: of another call, if arguments follow."""

        self.closed = False
        """Whether its object has closed."""

        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def is_empty(self) -> bool:
        """Whether its object has nothing in it, and the arguments may be yet to come."""
        return len(self._pieces) < 4 and not self.text.strip(" \n{}")

    @property
    def is_open(self) -> bool:
        """Whether its object has begun and not closed."""
        return self._depth > 0

    def take_name(self, name: str) -> None:
        """Take note of a name, or a piece of it."""
        if self.name and self.closed and not self.is_empty:
            self.name_again = name or self.name_again
        elif name and not (self.name and self.text):
            self.name = name if name.startswith(self.name) else self.name + name

    def feed(self, piece: str) -> str:
        """Take note of a piece of the arguments. What is left of it behind the closed object, if it is another one."""
        if self.closed and self.is_empty and piece.lstrip()[:1] in ("{", '"'):
            self._pieces.clear()
            self.closed = False
        if self.closed or not piece:
            return ""
        begin, self._escaped = int(self._escaped), False
        for token in _TOKENS.finditer(piece, begin):
            self._escaped = token[0] == "\\"  # the character that it escapes comes with the next piece
            if token[0] == '"':
                self._in_string = not self._in_string
            elif not self._in_string and token[0] in _DEPTH:
                self._depth += _DEPTH[token[0]]
                if self._depth == 0:
                    self.closed = True
                    rest = piece[token.end() :].lstrip()
                    if not rest.startswith("{"):
                        break
                    self._pieces.append(piece[: token.end()])
                    return self.feed(rest) if self.is_empty else rest
        self._pieces.append(piece)
        return ""

    def arguments(self) -> dict[str, Any] | None:
        """The arguments; None if they can't be read. A server may have sent them whole once more."""
        for text in (self.text, *reversed(self._pieces[-2:])):
            if (arguments := read_arguments(text)) is not None:
                return arguments
        return None
