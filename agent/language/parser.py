"""The streaming parser of the plan language.

    1. search.map(["Mount Everest", "K2"])
    2. math("height of Mount Everest - height of K2, in metres", context=$1)
    3. join("Mount Everest is $2 m taller than K2.")

It is fed the model's text in chunks of any size and gives out each call at its closing parenthesis, and each element of
a map as soon as it has been read. It is tolerant of
what models really write, and never raises: a call that can't be read is a `Call` with an `error`, and a line that is
no call is a `Thought`. It looks ahead by a bounded number of characters and never goes back: time is linear in the
text, and the items don't depend on how it is cut into chunks.

What stands beside a call on its line may make it conditional. Nothing evaluates that: the plan ends there, with a
failed call that says so. A call that changes something is therefore given out only where the next one begins, and not
at all if something stands around it that can't be read, in which its condition may be.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from agent.language.call import LOOKAHEAD, PARENTHESES, TOO_LONG, CallReader, Cursor, Head
from agent.language.conditions import (
    BULLETS,
    begins_with_condition,
    condition_error,
    is_condition,
    is_left_over,
    is_sentence,
    may_be_conditional,
    result_named,
    stands_under_condition,
)
from agent.language.reasoning import THOUGHT
from agent.language.tasks import Call, Element, Join, Signature, Thought

MAP = ".map"
LONGEST_PROSE = 10_000
"""Characters before a call on its line; behind more, no call is looked for."""

FIRST_NAMED = 900_000_001
"""The number of the first call that has a name for its result, and no number. The plan gives it one of its own."""

NO_CALL = "This is not a call; the form is {tool}(…)."

Item = Call | Element | Join | Thought

_NUMBERED = r"(?:(?:step|task|action|call|第)\s*)?#?(?P<number>\d{1,9})步?[\s*_`]*+\\?[.):\]\-–—、：．|]?[\s*_`]*+"
_ASSIGNED = (
    r"(?:(?:(?:const|let|var)\s+)?\$?(?P<result>[^\W\d]\w{0,40})(?:\s*:\s*\w{1,20})?\s*:?=\s*)?"
    r"(?:\$\{?(?P<assigned>\d{1,9})\}?\s*(?::=|[=:.)])\s*)?"
)
_ANNOUNCED = r"(?:action|call|function|task|tool|use)(?:\s*:\s*|\s+)"
_HEAD = re.compile(
    rf"(?:(?<![\w.$]){_NUMBERED}(?P<words>(?:[^\W\d]{{1,20}}\s+){{1,2}})??)?(?:{_ANNOUNCED})?{_ASSIGNED}"
    r"(?:(?:await|return|(?:async\s+)?with)\s+)?[`*]*(?P<name>[^\W\d](?:[\w.\-]*\w)?)[`*]*(?P<gap>\s*)\Z",
    re.IGNORECASE,
)
_HEAD_END = re.compile(r"[\w`*]\s*\Z")
_LONGEST_HEAD = 120
_LEAD = re.compile(
    rf"{BULLETS}(?:(?:\d+\.)+\d+[.):]?\s*|(?:action|call|task|tool)\s*:\s*|第\w{{1,3}}步\s*[:：]\s*)?", re.IGNORECASE
)
_THOUGHT = re.compile(rf"{BULLETS}(?:{_NUMBERED})?[*_]*+{THOUGHT}[*_]*\s*[:：]", re.IGNORECASE)
_COMMENT = re.compile(r"[\s`*,;]*(?:#(?!\d)|//|/\*)")
_NOISE = re.compile(r"[\s`*_)\]}>,;.|\-]*(?:```\s*+\w*+\s*+)?")
_NO_CALL = re.compile(
    rf"{BULLETS}{_NUMBERED}(?P<name>[\w.\-]+)\s*(?P<rest>[\"'“\[{{:=$<].*)", re.IGNORECASE | re.DOTALL
)
_NAMED_CALLS = re.compile(r"(?<![\w.\-])[\w.\-]++(?=\s{0,3}[(（])")
_FIRST_WORD = re.compile(rf"{BULLETS}([\w.\-]+)")
_NAMED_IN_JSON = re.compile(r"[\"'](?:name|tool|tool_name|function|action)[\"']\s{0,3}:\s{0,3}[\"']([\w.\-]+)[\"']")
_NUMBERED_LINE = re.compile(rf"{BULLETS}(?:(?:step|task|action|call)\s*)?#?(\d{{1,9}})[.):]", re.IGNORECASE)
_NAMES = re.compile(rf"{BULLETS}(?:\d+[.):]\s*)?[\s(]*\$?([^\W\d]\w*(?:\s*[,=]\s*[^\W\d]\w*)*)\s*:?=(?!=)")
_CODE_LINE = re.compile(
    rf"{BULLETS}(?:(?:await|return|yield|assert|async)\b|(?:try|finally|except\b[^:\n]{{0,80}}|for\s+\w+\s+in\s[^\n]*?):)"
)
_JOIN = re.compile(rf"{BULLETS}(?:{_NUMBERED})?join[\s*`.]*", re.IGNORECASE)
_PLAN_END = re.compile(r"</?END_OF_PLAN>", re.IGNORECASE)
_OPEN_PLAN_END = re.compile(r"</?[a-z_]{0,12}", re.IGNORECASE)
_LINE_ENDS = re.compile(r"\n+")
_PROSE_RUN = re.compile(r"[^(（\n<]+")
_LONG_PROSE_RUN = re.compile(r"[^\n<]+")
_LINE_START = re.compile(r"[^(（\n\"',\[]*")


class PlanParser:
    """Reads one plan: feed it text until `ended`, then `close` it."""

    def __init__(self, tools: Collection[str] | Mapping[str, Signature]) -> None:
        """
        Args:
            tools: The names of the tools; they tell a call from prose with parentheses. With their signatures, the
                names of arguments need not be identifiers.
        """
        self.ended = False
        """Whether the plan has said its end, `join()`. What comes after it is ignored."""

        self._tools = frozenset(tools)
        self._signatures: Mapping[str, Signature] = tools if isinstance(tools, Mapping) else {}
        self._cursor = Cursor()
        self._items: list[Item] = []
        self._call: CallReader | None = None
        self._result = ""
        """The name that the plan gives the result of the call that is being read."""

        self._results: dict[str, str] = {}
        """The references to results that have names; nothing for a name that is none of a result."""

        self._named = 0
        """How many calls have a name for their result, and no number."""

        self._made: Call | None = None
        """The call that stands on this line, before the text."""

        self._held: list[Item] = []
        """The last call that changes something and is complete, for which the text may still be, and what stands behind
        it on its line."""

        self._condition = ""
        """What the next call stands under."""

        self._doubt = ""
        """What calls that change something stand under, or may."""

        self._begun = False
        """Whether there has been a call."""

        self._all_names = {name.casefold() for name in tools}
        self._changing = {name.casefold() for name, tool in self._signatures.items() if tool.changes}
        self._start_line()

    def feed(self, text: str) -> list[Item]:
        """The items that this piece of text completes."""
        self._cursor.feed(text)
        while not self.ended and not self._cursor.at_end:
            progress = self._read_call(self._call) if self._call else self._read_prose()
            if not progress:
                break
        items, self._items = self._items, []
        return items

    @property
    def join(self) -> Join | None:
        """The end of the plan that is being read, with its answer as far as there is of it; None while a call is held
        back whose condition may stand behind it."""
        return self._call.join if self._call and not self._held else None

    def close(self) -> list[Item]:
        """The items that the end of the text completes."""
        self._cursor.final = True
        items = self.feed("")
        if not self.ended:
            if self._call:
                self._finish(self._call.cut_off())
            self._end_line()
            self._release()
            self.ended = True
        return items + self._items

    @property
    def rest(self) -> str:
        """The beginning of what has come behind the plan's end."""
        return self._cursor.ahead() if self.ended else ""

    def _give_out(self, element: Element) -> None:
        if not self._changes(element.tool):
            (self._held or self._items).append(element)

    def _changes(self, tool: str) -> bool:
        return not self._changing.isdisjoint(_names(tool))

    def _release(self) -> None:
        """Give out what an earlier line holds: the next one begins."""
        if not self.ended:
            self._items += self._held
        self._held = []

    def _read_call(self, reader: CallReader) -> bool:
        if call := reader.read():
            self._finish(call)
        return call is not None

    def _finish(self, call: Call) -> None:
        self._call = None
        self._start_line()
        if call.tool.lower() == "join":
            self._release()
            given = [*call.arguments, *call.keywords.values()]
            self._items.append(Join(call.number, given[0] if len(given) == 1 and isinstance(given[0], str) else ""))
            self.ended = True
            return
        if self._result:
            self._results[self._result] = f"${call.number}"
        self._begun = True
        if self._all_names.isdisjoint(_names(call.tool)):
            self._doubt = self._doubt or f"{call.tool}({call.text})"
        self.ended = call.error == TOO_LONG or bool(self._condition)
        if self.ended:
            self._items += [*self._held, call]
        elif not self._changes(call.tool):
            (self._held or self._items).append(call)
        self._made = call

    def _end_call(self, behind: str, *, conditional: bool = False) -> None:
        """Take the text behind the line's call as complete: the call may stand, or the plan ends with it."""
        call, self._made = self._made, None
        if call is None or self.ended:
            return
        if name := result_named(behind):
            self._results[name] = "" if call.number is None else f"${call.number}"
        changes = self._changes(call.tool)
        if conditional or is_left_over(behind, changes=changes):
            # What changes nothing has been given out; this is one more.
            self._fail(self._held_call or (call if changes else replace(call, number=None)), behind)
        elif changes:
            self._held.append(call)
        elif may_be_conditional(behind, beside=False):
            self._doubt = behind.strip()

    @property
    def _held_call(self) -> Call | None:
        return next((held for held in self._held if isinstance(held, Call)), None)

    def _fail(self, call: Call, condition: str) -> None:
        """End the plan with this call, which must not be made: it stands under a condition."""
        error = call.error or condition_error(condition)
        call = Call(call.number, call.tool, text=call.text, error=error, mapped=call.mapped)
        self._items += [call, Thought(condition.strip(), unread=True)]
        self.ended = True

    def _doubt_calls(self, line: str) -> None:
        """Have the calls that change something above this line, or below it, not made, if it may make them conditional.
        What stands above the first call may be prose."""
        if not may_be_conditional(line, beside=self._begun and not (_THOUGHT.match(line) or is_sentence(line))):
            return
        is_next = _NUMBERED_LINE.match(line) and not may_be_conditional(line, beside=False)
        if (call := self._held_call) and not is_next:
            self._fail(call, line)
        self._doubt = line.strip()

    # --- Text between calls: a line is collected until its end, or until it turns out to be a call.

    def _start_line(self) -> None:
        self._line: list[str] = []
        self._start = ""
        self._tail = ""
        self._length = 0

    def _thought(self, text: str) -> Thought:
        """What stands between calls. A line that says to be a thought is nothing else."""
        text = text.strip()
        if _THOUGHT.match(text):
            return Thought(text)
        first = _FIRST_WORD.match(text)
        calls = any(self._is_known(name) for name in _NAMED_CALLS.findall(text[:LONGEST_PROSE]))
        named = first is not None and first[1].removesuffix(MAP) in self._tools
        return Thought(text, unread=calls or named or bool(_NUMBERED_LINE.match(text)) or begins_with_condition(text))

    def _add(self, text: str) -> None:
        self._line.append(text)
        self._length += len(text)
        self._tail = (self._tail + text)[-LOOKAHEAD:]
        if len(self._start) < LOOKAHEAD:
            self._start = (self._start + text)[:LOOKAHEAD]

    def _read_prose(self) -> bool:
        cursor = self._cursor
        ordinary = _PROSE_RUN if self._length < LONGEST_PROSE else _LONG_PROSE_RUN
        if run := ordinary.match(cursor.text, cursor.position):
            self._add(run[0])
            cursor.position = run.end()
            return True
        character = cursor.text[cursor.position]
        if character == "<":
            return self._read_mark()
        if character == "\n":
            self._end_line()
            cursor.position = _LINE_ENDS.match(cursor.text, cursor.position).end()  # type: ignore[union-attr]
            return True
        cursor.position += 1
        if not self._start_call():
            self._add(character)
        return True

    def _read_mark(self) -> bool:
        cursor = self._cursor
        mark = _PLAN_END.match(cursor.text, cursor.position)
        if mark is None:
            if not cursor.final and _OPEN_PLAN_END.fullmatch(cursor.ahead()):
                return False
            self._add("<")
            cursor.position += 1
            return True
        cursor.position = mark.end()
        self._end_line()
        self._release()
        if not self.ended:
            self._items.append(Join())
            self.ended = True
        return True

    def _end_line(self) -> None:
        line = "".join(self._line)
        is_comment, has_call = self._is_comment, self._made is not None
        self._start_line()
        self._end_call(line)
        if self.ended:
            return
        if is_condition(line) and not is_comment:
            self._condition = line.strip()
            if tool := next(filter(self._is_known, _NAMED_CALLS.findall(line[:LONGEST_PROSE])), None):
                error = condition_error(self._condition)
                self._items.append(Call(None, tool.removesuffix(MAP), text=self._condition, error=error))
                self.ended = True
                return
        if join := _JOIN.fullmatch(line):
            self._release()
            self._items.append(Join(int(join["number"]) if join["number"] else None))
            self.ended = True
            return
        if not has_call:
            self._doubt_calls(line)
        if self.ended:
            return
        if (broken := _NO_CALL.fullmatch(line[:2000])) and broken["name"] in self._tools:
            error = NO_CALL.format(tool=broken["name"])
            self._items.append(Call(int(broken["number"]), broken["name"], text=broken["rest"].strip(), error=error))
        elif not is_comment and not _NOISE.fullmatch(line):
            self._read_other(line)

    def _read_other(self, line: str) -> None:
        """A line that is no call: prose, or one that can't be read, such as `a, b = search("x"), search("y")`."""
        named, numbered = _NAMES.match(line), _NUMBERED_LINE.match(line)
        start, number, reference = line[:LONGEST_PROSE], None, ""
        is_code = named or numbered or _CODE_LINE.match(start)
        called = _NAMED_IN_JSON.findall(start) + (_NAMED_CALLS.findall(start) if is_code else [])
        tool = next(filter(self._is_known, called), None)
        if tool and tool.lower() != "join" and not _THOUGHT.match(line):
            if numbered:
                number = int(numbered[1])
            else:
                number, self._named = FIRST_NAMED + self._named, self._named + 1
            reference = f"${number}"
            error = NO_CALL.format(tool=tool)
            self._items.append(Call(number, tool.removesuffix(MAP), text=line.strip(), error=error))
        else:
            self._items.append(self._thought(line))
        for name in re.findall(r"\w+", named[1]) if named else ():
            self._results[name] = reference

    @property
    def _is_comment(self) -> bool:
        return bool(_COMMENT.match(self._start))

    def _start_call(self) -> bool:
        """Whether the parenthesis just read opens a call, judged by the line before it."""
        head = _find_head(self._tail)
        if head is None or self._is_comment or _THOUGHT.match(self._start) or not self._is_call(head):
            return False
        line = "".join(self._line)
        before = line[: self._length - len(self._tail) + head.start()]
        is_next = self._made is not None
        conditional = stands_under_condition(before + (head["words"] or ""), is_next=is_next)
        self._end_call(before, conditional=conditional)
        if not (is_next or head["name"].lower() == "join"):
            self._release()
        if not _NOISE.fullmatch(before) and not _LEAD.fullmatch(before):
            self._items.append(self._thought(before))
        name = head["name"]
        mapped = name.endswith(MAP) and name not in self._tools
        tool = name.removesuffix(MAP) if mapped else name
        number = _number(head)
        self._result = head["result"] or ""
        if self._result and number is None:
            number = FIRST_NAMED + self._named
            self._named += 1
        parameters = self._signatures[tool].parameters if tool in self._signatures else ()
        if conditional or begins_with_condition(line):
            self._condition = line.strip()
        elif self._changes(tool):
            words = (before if is_next or not _LEAD.fullmatch(before) else "") + (head["words"] or "")
            self._condition = self._doubt or (line.strip() if may_be_conditional(words, beside=True) else "")
        error = condition_error(self._condition) if self._condition else None
        opening = Head(number, tool, mapped, parameters, self._results, error)
        self._call = CallReader(self._cursor, opening, self._give_out, self._starts_task)
        return True

    def _is_call(self, head: re.Match[str]) -> bool:
        starts_line = self._length <= LOOKAHEAD and bool(_LEAD.fullmatch(self._tail[: head.start()]))
        if self._is_known(head["name"]) and not head["gap"]:
            # In the middle of a line only a number makes it a call: "I use search(…)" is prose.
            return starts_line or _number(head) is not None
        if head["words"]:
            return False
        return starts_line and _number(head) is not None and (self._is_known(head["name"]) or not head["gap"])

    def _is_known(self, name: str) -> bool:
        return name in self._tools or name.removesuffix(MAP) in self._tools or name.lower() == "join"

    def _starts_task(self, start: int, in_string: bool) -> bool | None:
        """Whether the line at `start` is the plan's next item, so that a call which is still open must have ended."""
        cursor = self._cursor
        run = _LINE_START.match(cursor.text, start, start + LOOKAHEAD)
        end = run.end() if run else start
        if end == len(cursor.text) and end - start < LOOKAHEAD and not cursor.final:
            return None
        line = cursor.text[start:end]
        head = _find_head(line) if cursor.text[end : end + 1] in [*PARENTHESES] else None
        if head and not head["gap"] and _LEAD.fullmatch(line[: head.start()]):
            known, numbered = self._is_known(head["name"]), _number(head) is not None
            return known and numbered if in_string else known or numbered
        if in_string:
            return False
        return bool(_THOUGHT.match(line) or _PLAN_END.match(line.strip()) or line.lstrip().startswith("```"))


def _find_head(line: str) -> re.Match[str] | None:
    """The beginning of a call, `2. search` or `search`, at the end of this text."""
    if not _HEAD_END.search(line[-20:]):
        return None  # spares most parentheses in prose the search
    # A head has no parenthesis in it: starting behind the last one spares text full of them most of the search.
    head = _HEAD.search(line, max(len(line) - _LONGEST_HEAD, *(line.rfind(opener) + 1 for opener in PARENTHESES), 0))
    if head and _number(head) is None and re.match(r"[\w.$\-]", line[head.start() - 1 : head.start()]):
        return None
    return head


def _names(tool: str) -> tuple[str, str]:
    """What a tool's name may stand for: `functions.search` may be `search`."""
    name = tool.casefold()
    return name, name.rpartition(".")[2]


def _number(head: re.Match[str]) -> int | None:
    digits = head["number"] or head["assigned"]
    return int(digits) if digits else None
