"""Reads one call of the plan language, from its opening to its closing parenthesis, as its text arrives.

The text is cut into tokens, of which `agent.literals` makes values when an argument, or an element of a map's list, is
complete. Whatever the text is, reading takes constant work per character: runs of ordinary characters are skipped by a
regular expression, and the rest needs a look ahead of at most `LOOKAHEAD` characters.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.literals import Kind, Token, UnreadableError, read_value, shorten, split_keyword, written_in
from agent.references import PATH
from agent.tasks import Call, Element

CUT_OFF = "The plan ends in the middle of this call."
UNCLOSED_TEXT = "The text that starts with {start} is not closed."
NO_LIST = "The list that is mapped over is followed by {text}."
DEEPEST = 50
TOO_DEEP = f"The arguments are nested deeper than {DEEPEST} levels."
MOST_PARTS = 50_000
TOO_LONG = (
    f"The plan ends here: this call has more than {MOST_PARTS:,} parts (values, brackets, commas, escapes, references)."
)

LOOKAHEAD = 200
_OPENERS = re.compile(r"[(\[{]+")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}

_CODE_RUN = re.compile(r"[^\"'()\[\]{},$\n#]+")
_STRING_RUN = {quote: re.compile(rf"[^\\\r\n\0{quote}]+") for quote in "\"'"}
_ESCAPE = re.compile(
    r"\\(?:[\\'\"abfnrtv\n]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4}|[0-7]{1,3})"
)
_OPEN_ESCAPE = re.compile(r"\\(?:[xuU][0-9a-fA-F]{0,8}|[0-7]{0,3})")
_REFERENCE = re.compile(rf"\$(?:\{{[0-9]{{1,9}}{PATH}\}}|[0-9]{{1,9}}(?![0-9])){PATH}")
_OPEN_REFERENCE = re.compile(r"\$(?:\{[^}\s]{0,60}\}?|\d*)(?:[.\w]|\[[^\]\n]{0,60}\])*(?:\[[^\]\n]{0,60})?")
_BLANK_LINES = re.compile(r"\n+(?=\n)")
_SPACE = re.compile(r"\s*")
_PREFIX = re.compile(r"(?:^|\W)([rbfuRBFU]{1,2})\Z")


@dataclass(slots=True)
class Cursor:
    """The text that has arrived and is not read yet."""

    text: str = ""
    position: int = 0
    final: bool = False
    """Whether no more text will come."""

    def feed(self, text: str) -> None:
        self.text = self.text[self.position :] + text
        self.position = 0

    def ahead(self, most: int = LOOKAHEAD) -> str:
        return self.text[self.position : self.position + most]

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.text)


@dataclass(slots=True)
class _MappedList:
    """The list that a map's tool is called for."""

    keyword: str | None
    values: list[Any] = field(default_factory=list)
    end: int | None = None
    """How many tokens the call had when the list was closed."""

    error: str | None = None
    """Why an element could not be read. Those after it are not given out."""


@dataclass
class CallReader:
    """The state of one call that is being read."""

    cursor: Cursor
    """Where to read; it stands behind the opening parenthesis."""

    number: int | None
    """The number that the plan gives the call."""

    tool: str
    starts_task: Callable[[int, bool], bool | None]
    """Whether the line at a position of the cursor's text starts the plan's next task, so that this call's closing
    parenthesis was forgotten; given whether the line may be part of a string. None if it takes more text to tell."""

    mapped: bool
    """Whether the tool is called for each element of a list."""

    give_out: Callable[[Element], None]
    """Is given each of these elements as soon as it has been read."""

    def __post_init__(self) -> None:
        self._state = self._read_code
        self._tokens: list[Token] = []
        self._parts = 0
        self._start = 0
        """Where in the tokens the argument begins, or the element, that is being read."""

        self._arguments: list[list[Token]] = []
        self._list: _MappedList | None = None
        self._may_start_list = self.mapped
        self._closers = [")"]
        self._excess = 0
        self._error: str | None = None
        self._done = False
        self._last = ""
        """The last token that is not just space."""

        self._quote = ""
        self._raw = False
        self._string_start = 0

    def read(self) -> Call | None:
        """Read on; the call if it is complete, None if it takes more text."""
        while not self._done and not self.cursor.at_end:
            if not self._state():
                break
        return self._call() if self._done else None

    def cut_off(self) -> Call:
        """The call when the text ends within it: readable only if just brackets are missing at the end of a line."""
        text = written_in(self._tokens)
        if self._state == self._read_string or "\n" not in text[len(text.rstrip()) :]:
            self._error = self._error or CUT_OFF
        self._close_all()
        return self._call()

    # --- Each state reads on from the cursor and returns whether it could; if not, it needs more text.

    def _read_code(self) -> bool:
        cursor = self.cursor
        if run := _CODE_RUN.match(cursor.text, cursor.position):
            self._add(run[0])
            cursor.position = run.end()
            return True
        character = cursor.text[cursor.position]
        match character:
            case "'" | '"':
                return self._open_string(character)
            case "$":
                return self._read_reference()
            case "\n":
                return self._read_newline()
            case "#" if self._last.rstrip()[-1:] in ("", ",", "(", "[", "{"):
                self._state = self._skip_comment
                return True
            case "(" | "[" | "{":
                return self._open_brackets()
            case ")" | "]" | "}":
                self._close_bracket(character)
            case "," if len(self._closers) == 1:
                self._end_argument()
                self._add_between(",")
            case "," if len(self._closers) == 2 and self._in_list:
                self._end_element()
                self._add_between(",")
            case _:
                self._add(character)
        cursor.position += 1
        return True

    def _skip_comment(self) -> bool:
        cursor = self.cursor
        end = cursor.text.find("\n", cursor.position)
        cursor.position = end if end >= 0 else len(cursor.text)
        if end >= 0:
            self._state = self._read_code
        return True

    def _read_newline(self) -> bool:
        """A line may end inside a call; but where the next one starts a task, a closing parenthesis was forgotten."""
        next_task = self.starts_task(self.cursor.position + 1, False)
        if next_task is None:
            return False
        if next_task:
            self._close_all()
            return True
        cursor = self.cursor
        blank = _BLANK_LINES.match(cursor.text, cursor.position)
        self._add(blank[0] if blank else "\n")
        cursor.position = blank.end() if blank else cursor.position + 1
        return True

    def _read_reference(self) -> bool:
        cursor = self.cursor
        ahead = cursor.ahead()
        if not cursor.final and len(ahead) < LOOKAHEAD and _OPEN_REFERENCE.fullmatch(ahead):
            return False
        reference = _REFERENCE.match(cursor.text, cursor.position)
        self._add(reference[0] if reference else "$", "reference" if reference else "code")
        cursor.position = reference.end() if reference else cursor.position + 1
        return True

    def _open_brackets(self) -> bool:
        cursor = self.cursor
        if self._open_list():
            return True
        run = _OPENERS.match(cursor.text, cursor.position)
        assert run is not None
        self._add(run[0])
        cursor.position = run.end()
        room = DEEPEST - len(self._closers)
        self._closers.extend(_CLOSERS[opener] for opener in run[0][:room])
        if len(run[0]) > room:
            self._excess += len(run[0]) - room
            self._error = TOO_DEEP
        return True

    def _close_bracket(self, character: str) -> None:
        if self._excess:
            self._excess -= 1
        elif character == ")" and ")" not in self._closers[1:]:
            self._close_all()  # of brackets still open, as in math("…", ["$1"), the parenthesis closes all
            return
        elif character == self._closers[-1]:
            self._closers.pop()
            if len(self._closers) == 1 and self._in_list:
                self._close_list()
                return
        self._add(character)

    # --- strings

    def _open_string(self, quote: str) -> bool:
        cursor = self.cursor
        ahead = cursor.ahead(3)
        if ahead in (quote, quote * 2) and not cursor.final:
            return False
        before = written_in(self._tokens[max(self._start, len(self._tokens) - 3) :])[-3:]
        prefix = _PREFIX.search(before)
        if before[-1:].isalnum() and not prefix:
            self._add(quote)  # an apostrophe in text without quotes: Schindler's List
            cursor.position += 1
            return True
        self._raw = False
        if prefix:
            self._raw = "r" in prefix[1].lower()
            self._mark_prefix(len(prefix[1]))
        self._quote = quote * 3 if ahead == quote * 3 else quote
        self._string_start = len(self._tokens)
        self._add(self._quote, "quote")
        cursor.position += len(self._quote)
        self._state = self._read_string
        return True

    def _read_string(self) -> bool:
        cursor, quote = self.cursor, self._quote[0]
        if run := _STRING_RUN[quote].match(cursor.text, cursor.position):
            self._add(run[0], "text")
            cursor.position = run.end()
            return True
        character = cursor.text[cursor.position]
        if character == "\\":
            return self._read_escape()
        if character == quote:
            closes = self._quote_closes()
            if closes is None:
                return False
            self._add(self._quote if closes else quote, "quote" if closes else "text")
            if closes:
                self._state = self._read_code
            cursor.position += len(self._quote) if closes else 1
            return True
        if blank := _BLANK_LINES.match(cursor.text, cursor.position):
            self._add(blank[0], "text")
            cursor.position = blank.end()
            return True
        if character == "\n" and len(self._quote) == 1:
            next_task = self.starts_task(cursor.position + 1, True)
            if next_task is None:
                return False
            if next_task:
                start = written_in(self._tokens[self._string_start :])[:40]
                self._error = self._error or UNCLOSED_TEXT.format(start=start)
                self._close_all()
                return True
        self._add(character, "text")
        cursor.position += 1
        return True

    def _quote_closes(self) -> bool | None:
        """Whether a quote ends its string, judged by what follows: in `"The "Godfather" film"` the inner ones don't."""
        cursor, quote = self.cursor, self._quote
        if len(quote) == 3:
            ahead = cursor.ahead(3)
            return ahead == quote if len(ahead) == 3 or not quote.startswith(ahead) or cursor.final else None
        start = cursor.position + 1
        space = _SPACE.match(cursor.text, start, start + LOOKAHEAD)
        end = space.end() if space else start
        if end - start >= LOOKAHEAD or "\n" in cursor.text[start:end]:
            return True
        if end == len(cursor.text):
            return True if cursor.final else None
        follower = cursor.text[end]
        if follower in "\"'":
            return end > start  # "one" "two" are joined; ""one"" are quotes in quotes
        return follower in ",+#)" or follower in self._closers or (follower == ":" and "}" in self._closers)

    def _read_escape(self) -> bool:
        cursor = self.cursor
        ahead = cursor.ahead(12)
        if not cursor.final and len(ahead) < 12 and _OPEN_ESCAPE.fullmatch(ahead):
            return False
        escape = _ESCAPE.match(ahead)
        if escape and not self._raw:
            self._add(escape[0], "escape")
            cursor.position += escape.end()
            return True
        self._add("\\", "text")
        cursor.position += 1
        if self._raw and ahead[1:2] == self._quote[0]:
            self._add(ahead[1], "text")
            cursor.position += 1
        return True

    # --- the list of a map, whose elements are read one by one

    @property
    def _in_list(self) -> bool:
        return self._list is not None and self._list.end is None

    def _open_list(self) -> bool:
        """Open the list that is mapped over, if this bracket does: in the first argument, or the first keyword's."""
        if not self._may_start_list or len(self._closers) > 1 or self.cursor.text[self.cursor.position] != "[":
            return False
        self._may_start_list = False
        keyword, before = split_keyword(self._tokens[self._start :])
        if written_in(before).strip():
            return False
        self._list = _MappedList(keyword)
        self._closers.append("]")
        self._add_between("[")
        self.cursor.position += 1
        return True

    def _end_element(self) -> None:
        assert self._list is not None
        tokens = self._tokens[self._start :]
        if self._list.error is None and written_in(tokens).strip():
            try:
                value = read_value(tokens)
            except UnreadableError as unreadable:
                self._list.error = str(unreadable)
            else:
                self._list.values.append(value)
                self.give_out(Element(self.number, self.tool, value, self._list.keyword))

    def _close_list(self) -> None:
        assert self._list is not None
        self._end_element()
        self._add_between("]")
        self._list.end = self._start

    # --- what has been read

    def _add(self, text: str, kind: Kind = "code") -> None:
        self._tokens.append((kind, text))
        if not text.isspace():
            self._last = text
        self._parts += 1 + text.count("$")
        if self._parts > MOST_PARTS:
            self._error, self._done = TOO_LONG, True

    def _add_between(self, text: str) -> None:
        """Add what stands between arguments or elements."""
        self._add(text)
        self._start = len(self._tokens)

    def _mark_prefix(self, length: int) -> None:
        """Mark the last characters as the prefix of a string."""
        code = ""
        while len(code) < length:
            code = self._tokens.pop()[1] + code
        if before := code[:-length]:
            self._tokens.append(("code", before))
        self._tokens.append(("prefix", code[-length:]))

    def _end_argument(self) -> None:
        tokens = self._tokens[self._start :]
        written = written_in(tokens).strip()
        if written and self._list and self._list.end == self._start:
            self._list.error = NO_LIST.format(text=shorten(written))
        elif written:
            self._arguments.append(tokens)
        if self.mapped and self._list is None:
            self._may_start_list = not self._arguments or split_keyword(self._arguments[-1])[0] is not None

    def _close_all(self) -> None:
        self._tokens += [("missing", closer) for closer in reversed(self._closers[1 + self._in_list :])]
        if self._list and self._in_list:
            self._end_element()
            self._start = self._list.end = len(self._tokens)
        self._end_argument()
        self._done = True

    def _call(self) -> Call:
        values: list[object] = []
        keywords: dict[str, object] = {}
        error = self._error
        try:
            for tokens in self._arguments if error not in (TOO_DEEP, TOO_LONG) else ():
                name, tokens = split_keyword(tokens)
                value = read_value(tokens)
                if name is None:
                    values.append(value)
                else:
                    keywords[name] = value
        except UnreadableError as unreadable:
            error = error or str(unreadable)
        if self._list and self._list.keyword:
            keywords = {self._list.keyword: self._list.values, **keywords}
        elif self._list:
            values.insert(0, self._list.values)
        error = error or (self._list.error if self._list else None)
        text = written_in(self._tokens)
        if error:
            return Call(self.number, self.tool, text=shorten(text, 400), error=error, mapped=self.mapped)
        return Call(self.number, self.tool, values, keywords, text, mapped=self.mapped)
