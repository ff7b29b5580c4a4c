"""Reads one call of the plan language, from its opening to its closing parenthesis, as its text arrives.

The text is cut into tokens, of which `literals` makes values when an argument, or an element of a map's list, is
complete; an element is given out at once. Whatever the text is, reading takes constant work per character: runs of
ordinary characters are skipped by a regular expression, and the rest needs a look ahead of at most `LOOKAHEAD`
characters.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.language.literals import Kind, Token, UnreadableError, read_value, shorten, split_keyword, written_in
from agent.language.references import PATH
from agent.language.tasks import Call, Element, Join

CUT_OFF = "The plan ends in the middle of this call."
UNCLOSED_TEXT = "The text that starts with {start} is not closed."
DEEPEST = 50
TOO_DEEP = f"The arguments are nested deeper than {DEEPEST} levels."
MOST_PARTS = 50_000
TOO_LONG = (
    f"The plan ends here: this call has more than {MOST_PARTS:,} parts (values, brackets, commas, escapes, references)."
)
BEHIND_THE_LIST = "The list that is mapped over is followed by {text}."
GIVEN_TWICE = "The argument {name!r} is given twice, with different values."
GIVEN_AGAIN = "The argument {name!r} stands before the list that is mapped over, and again after it."

LOOKAHEAD = 200
PARENTHESES = "(（"
_OPENERS = re.compile(r"[(\[{（]+")
_CLOSERS = {"(": ")", "[": "]", "{": "}", "（": ")"}

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": '”“"', "„": '“”"', "«": "»", "「": "」", "『": "』", "＂": "＂"}
_QUOTES |= {"‘": "’'", "‚": "‘’'"}
"""What may close a string, by what opens it."""

_CODE_RUN = re.compile(r"[^\"'`“„«「『＂‘‚()（）\[\]{},，$\n#]+")
_STRING_RUN = {quote: re.compile(rf"[^\\\r\n\0{ends}]+") for quote, ends in _QUOTES.items()}
_ESCAPED = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\'": "'", "\\\\": "\\"}
_ESCAPE = re.compile(
    r"\\(?:[\\'\"abfnrtv\n]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4}|[0-7]{1,3})"
)
_OPEN_ESCAPE = re.compile(r"\\(?:[xuU][0-9a-fA-F]{0,8}|[0-7]{0,3})")
_REFERENCE = re.compile(rf"\$(?:\{{[0-9]{{1,9}}{PATH}\}}|[0-9]{{1,9}}(?![0-9])){PATH}")
_OPEN_REFERENCE = re.compile(r"\$(?:\{[^}\s]{0,60}\}?|\d*)(?:[.\w]|\[[^\]\n]{0,60}\])*(?:\[[^\]\n]{0,60})?")
_BLANK_LINES = re.compile(r"\n+(?=\n)")
_SPACE = re.compile(r"\s*")
_UNPACKED = re.compile(r"\*\*\s*\{")
_ARGUMENT = re.compile(r"(?:[\s;|&]|and\b)*[\"'`]?([^\s\"'`=;,()（）]{1,64})[\"'`]?\s*=(?!=)")
_CODE = re.compile(r"\.\w{1,30}\(|%\s?[$(]|\[-?\d{1,3}\]\s?[,)]|if\s[^\"']{1,100}\selse\s")
_OPEN_ARGUMENT = re.compile(
    r"\.\w{0,30}|%\s?|\[-?\d{0,3}\]?\s?|if\s[^\"']{0,100}|(?:[\s;|&]|and\b)*[\"'`]?[^\s\"'`=;,()（）]{0,64}[\"'`]?\s*=?"
)
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
    given: dict[str, Any]
    """The arguments before it."""

    values: list[Any] = field(default_factory=list)
    end: int | None = None
    """How many tokens the call had when the list was closed."""

    error: str | None = None
    """Why an element could not be read. Those after it are not given out."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the opening parenthesis of a call, and what is known of it."""

    number: int | None
    """The number that the plan gives the call."""

    tool: str
    mapped: bool
    """Whether the tool is called for each element of a list."""

    parameters: Collection[str]
    """The names of the tool's arguments."""

    results: Mapping[str, str]
    """The references to earlier results that the plan has given names, as in `height = search("K2")`; nothing for a
    name that it has given something else."""

    error: str | None
    """Why it is no call that can be made, whatever its arguments are."""


class CallReader:
    """The state of one call that is being read."""

    def __init__(
        self,
        cursor: Cursor,
        head: Head,
        give_out: Callable[[Element], None],
        starts_task: Callable[[int, bool], bool | None],
    ) -> None:
        """
        Args:
            cursor: Where to read; it stands behind the opening parenthesis.
            head: What stands before it.
            give_out: Is given each element of a map's list as soon as it has been read.
            starts_task: Whether the line at a position of the cursor's text starts the plan's next task, so that this
                call's closing parenthesis was forgotten; given whether the line may be part of a string. None if it
                takes more text to tell.
        """
        self._cursor = cursor
        self._head = head
        self._give_out = give_out
        self._starts_task = starts_task

        self._state: Callable[[CallReader], bool] = CallReader._read_code
        self._closers = [")"]
        self._excess = 0
        self._quote = ""
        self._raw = False
        self._string_start = 0
        self._done = False
        self._error = head.error
        """Why nothing further can be read."""

        self._tokens: list[Token] = []
        self._start = 0
        """Where in the tokens the argument begins, or the element, that is being read."""

        self._text = ""
        """What has been read of the text that is the first argument."""

        self._in_text = False
        self._heard: int | None = 0
        """How many tokens have been looked at for it; None if no more of it will come, or can be told."""

        self._parts = 0
        """How many things there are in them. It doesn't depend on how the text was cut into chunks."""

        self._run = ""
        """The kind of the run of characters that the text so far ends in, of which more may come; or nothing."""

        self._last = ""
        """The last token that is not just space."""

        self._values: list[Any] = []
        self._keywords: dict[str, Any] = {}
        self._unreadable: str | None = None
        self._list: _MappedList | None = None
        self._may_start_list = head.mapped

    def read(self) -> Call | None:
        """Read on; the call if it is complete, None if it takes more text."""
        while not self._done and not self._cursor.at_end:
            if not self._state(self):
                break
            if self._parts > MOST_PARTS:
                self._error, self._done = TOO_LONG, True
        return self._call() if self._done else None

    @property
    def join(self) -> Join | None:
        """The end of the plan, if this is it, with the answer as far as it has been read."""
        if self._head.tool.lower() != "join" or self._head.mapped or self._error or self._head.results:
            return None  # names of results are read when all of it is there
        while self._heard is not None and self._heard < len(self._tokens):
            kind, text = self._tokens[self._heard]
            self._heard += 1
            if kind == "quote" and not self._in_text:
                self._in_text = True
            elif self._in_text and (kind == "text" or text in _ESCAPED):
                self._text += text if kind == "text" else _ESCAPED[text]
            elif self._in_text or not text.isspace():
                self._heard = None
        return Join(self._head.number, self._text)

    def cut_off(self) -> Call:
        """The call when the text ends within it: readable only if just brackets are missing at the end of a line."""
        text = written_in(self._tokens)
        if self._state is CallReader._read_string or "\n" not in text[len(text.rstrip()) :]:
            self._error = self._error or CUT_OFF
        self._close_all()
        return self._call()

    # --- Each state reads on from the cursor and returns whether it could; if not, it needs more text.

    def _read_code(self) -> bool:
        cursor = self._cursor
        if run := _CODE_RUN.match(cursor.text, cursor.position):
            return self._take(len(run[0]), run="code")
        character = cursor.text[cursor.position]
        match character:
            case "'" | '"':
                return self._open_string(character)
            case _ if character in _QUOTES and self._at_value:
                return self._open_string(character)
            case "$":
                return self._read_reference()
            case "\n":
                return self._read_newline()
            case "#" if self._last_character in ("", ",", "(", "[", "{"):
                self._state = CallReader._skip_comment
                self._run = ""
                return True
            case "(" | "[" | "{" | "（":
                return self._open_brackets()
            case ")" | "]" | "}" | "）":
                return self._close_bracket(")" if character == "）" else character)
            case "," | "，" if len(self._closers) <= 1 + self._in_list and self._separates(character):
                if self._in_list:
                    self._take_element()
                else:
                    self._take_argument()
                self._add_between(",")
            case _:
                return self._take(1)
        cursor.position += 1
        return True

    @property
    def _at_value(self) -> bool:
        """Whether a value begins here, so that a typographic quote opens a string."""
        last = self._last_character
        return last in ("", *",，(（[{=＝+”»」』＂") or (last in ":：" and self._closers[-1] == "}")

    def _separates(self, comma: str) -> bool:
        """Whether a comma stands between values: one of Chinese or Japanese may belong to text without quotes."""
        return comma == "," or self._last_character in "\"'”»」』＂]}"

    def _skip_comment(self) -> bool:
        cursor = self._cursor
        end = cursor.text.find("\n", cursor.position)
        cursor.position = end if end >= 0 else len(cursor.text)
        if end >= 0:
            self._state = CallReader._read_code
        return True

    def _read_newline(self) -> bool:
        """A line may end inside a call; but where the next one starts a task, a closing parenthesis was forgotten."""
        next_task = self._starts_task(self._cursor.position + 1, False)
        if next_task is None:
            return False
        if next_task:
            self._close_all()
            return True
        blank = _BLANK_LINES.match(self._cursor.text, self._cursor.position)
        return self._take(len(blank[0]) if blank else 1, run="lines")

    def _read_reference(self) -> bool:
        cursor = self._cursor
        ahead = cursor.ahead()
        if not cursor.final and len(ahead) < LOOKAHEAD and _OPEN_REFERENCE.fullmatch(ahead):
            return False
        reference = _REFERENCE.match(cursor.text, cursor.position)
        return self._take(len(reference[0]), "reference") if reference else self._take(1)

    def _open_brackets(self) -> bool:
        cursor = self._cursor
        if len(self._closers) == 1 and cursor.text[cursor.position] == "[" and self._open_list():
            self._closers.append("]")
            cursor.position += 1
            return True
        run = _OPENERS.match(cursor.text, cursor.position)
        assert run is not None
        room = DEEPEST - len(self._closers)
        self._closers.extend(_CLOSERS[opener] for opener in run[0][:room])
        if len(run[0]) > room:
            self._excess += len(run[0]) - room
            self._error = TOO_DEEP
        return self._take(len(run[0]), run="brackets")

    def _close_bracket(self, character: str) -> bool:
        if self._excess:
            self._excess -= 1
        elif character == ")" and ")" not in self._closers[1:]:
            self._close_all()  # of brackets still open, as in math("…", ["$1"), the parenthesis closes all
            self._cursor.position += 1
            return True
        elif character == self._closers[-1]:
            self._closers.pop()
            if len(self._closers) == 1 and self._in_list:
                self._close_list()
                self._cursor.position += 1
                return True
        return self._take(1)

    # --- strings

    def _open_string(self, quote: str) -> bool:
        cursor = self._cursor
        ahead = cursor.ahead(3)
        if ahead in (quote, quote * 2) and not cursor.final:
            return False
        before = self._last_characters(3)
        prefix = _PREFIX.search(before)
        if before[-1:].isalnum() and not prefix:
            return self._take(1)  # an apostrophe in text without quotes: Schindler's List
        self._raw = False
        if prefix:
            self._raw = "r" in prefix[1].lower()
            self._mark_prefix(len(prefix[1]))
        self._quote = quote * 3 if ahead == quote * 3 else quote
        self._string_start = len(self._tokens)
        self._state = CallReader._read_string
        return self._take(len(self._quote), "quote")

    def _read_string(self) -> bool:
        cursor, quote = self._cursor, self._quote[0]
        if run := _STRING_RUN[quote].match(cursor.text, cursor.position):
            return self._take(len(run[0]), "text", run="text")
        character = cursor.text[cursor.position]
        if character == "\\":
            return self._read_escape()
        if character in _QUOTES[quote]:
            closes = self._quote_closes()
            if closes is None:
                return False
            if not closes:
                return self._take(1, "text")
            self._state = CallReader._read_code
            return self._take(len(self._quote), "quote")
        if blank := _BLANK_LINES.match(cursor.text, cursor.position):
            return self._take(len(blank[0]), "text", run="lines")
        if character == "\n" and len(self._quote) == 1:
            next_task = self._starts_task(cursor.position + 1, True)
            if next_task is None:
                return False
            if next_task:
                start = written_in(self._tokens[self._string_start :])[:40]
                self._error = self._error or UNCLOSED_TEXT.format(start=start)
                self._close_all()
                return True
        return self._take(1, "text", run="lines" if character == "\n" else "")

    def _quote_closes(self) -> bool | None:
        """Whether a quote ends its string, judged by what follows: in `"The "Godfather" film"` the inner ones don't."""
        cursor, quote = self._cursor, self._quote
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
        if follower in _QUOTES:
            return end > start  # "one" "two" are joined; ""one"" are quotes in quotes
        if follower in "=:＝：" and self._is_name():
            return True
        if follower in ",+#)，）" or follower in self._closers or (follower == ":" and "}" in self._closers):
            return True
        return self._argument_follows(end)

    def _argument_follows(self, start: int) -> bool | None:
        """Whether the next argument begins here without a comma before it, as in `to="ana"; text="b"`, or the string is
        part of an expression. Neither can be read, and it must not become text."""
        cursor = self._cursor
        ahead = cursor.text[start : start + LOOKAHEAD]
        if not cursor.final and len(ahead) < LOOKAHEAD and _OPEN_ARGUMENT.fullmatch(ahead):
            return None
        argument = _ARGUMENT.match(ahead)
        return bool(_CODE.match(ahead)) or (argument is not None and argument[1] in self._head.parameters)

    def _is_name(self) -> bool:
        """Whether the string so far is the name of an argument: `"user-id"="42"`."""
        if written_in(self._tokens[self._start : min(self._start + 2, self._string_start)]).strip():
            return False
        names = self._head.parameters
        return any(self._last_characters(len(name) + 1) == self._quote + name for name in names)

    def _read_escape(self) -> bool:
        cursor = self._cursor
        ahead = cursor.ahead(12)
        if not cursor.final and len(ahead) < 12 and _OPEN_ESCAPE.fullmatch(ahead):
            return False
        escape = _ESCAPE.match(ahead)
        if escape and not self._raw:
            return self._take(escape.end(), "escape")
        return self._take(2 if self._raw and ahead[1:2] == self._quote[0] else 1, "text")

    # --- what has been read

    @property
    def _last_character(self) -> str:
        """The last one that is no space."""
        return self._last.rstrip()[-1:]

    def _last_characters(self, count: int) -> str:
        """The end of the argument so far, however many pieces it came in."""
        return written_in(self._tokens[max(self._start, len(self._tokens) - count) :])[-count:]

    def _take(self, length: int, kind: Kind = "code", run: str = "") -> bool:
        """Read so many characters as a token."""
        cursor = self._cursor
        self._add(cursor.text[cursor.position : cursor.position + length], kind, run)
        cursor.position += length
        return True

    def _add(self, text: str, kind: Kind = "code", run: str = "") -> None:
        """Add a token to the argument that is being read; it may be a piece of a run."""
        self._tokens.append((kind, text))
        self._parts += text.count("$") + (not run or run != self._run)
        self._run = run
        if not text.isspace():
            self._last = text

    def _mark_prefix(self, length: int) -> None:
        """Mark the last characters as the prefix of a string."""
        code = ""
        while len(code) < length:
            code = self._tokens.pop()[1] + code
        if before := code[:-length]:
            self._tokens.append(("code", before))
        self._tokens.append(("prefix", code[-length:]))

    def _close_all(self) -> None:
        """Take the call as complete, with the brackets closed that the model forgot."""
        missing = self._closers[:0:-1]
        self._tokens += [("missing", closer) for closer in (missing[:-1] if self._in_list else missing)]
        if self._list and self._in_list:
            self._take_element()
            self._start = self._list.end = len(self._tokens)
        self._take_argument()
        self._done = True

    def _call(self) -> Call:
        """The call with these arguments; or with what is wrong with them."""
        values, keywords, error = self._values, self._keywords, self._error or self._unreadable
        if self._list:
            error = error or self._list.error
            if self._list.keyword:
                keywords = {self._list.keyword: self._list.values, **keywords}
            else:
                values = [self._list.values, *values]
        text = written_in(self._tokens)
        if error:
            return Call(
                self._head.number, self._head.tool, text=shorten(text, 400), error=error, mapped=self._head.mapped
            )
        return Call(self._head.number, self._head.tool, values, keywords, text, mapped=self._head.mapped)

    def _take_argument(self) -> None:
        """Take the argument as complete."""
        tokens = self._tokens[self._start :]
        written = written_in(tokens).strip()
        if written and self._list and self._list.end == self._start:
            self._list.error = BEHIND_THE_LIST.format(text=shorten(written))
        elif written and self._error is None:
            name, tokens = split_keyword(tokens, self._head.parameters)
            self._may_start_list = self._head.mapped and self._list is None and name is not None
            unpacked = _UNPACKED.match(written) if name is None else None
            try:
                value = read_value(_without_stars(tokens) if unpacked else tokens, self._head.results)
            except UnreadableError as unreadable:
                self._unreadable = self._unreadable or str(unreadable)
            else:
                if unpacked and isinstance(value, dict):
                    self._keywords |= value
                elif name is None:
                    self._values.append(value)
                elif self._list and name in self._list.given:
                    self._list.error = GIVEN_AGAIN.format(name=name)
                elif name in self._keywords and self._keywords[name] != value:
                    self._unreadable = self._unreadable or GIVEN_TWICE.format(name=name)
                else:
                    self._keywords[name] = value

    def _add_between(self, text: str) -> None:
        """Add what stands between arguments or elements."""
        self._add(text)
        self._start = len(self._tokens)

    # --- the list of a map, whose elements are read one by one

    @property
    def _in_list(self) -> bool:
        """Whether the list that is mapped over is open."""
        return self._list is not None and self._list.end is None

    def _open_list(self) -> bool:
        """Open the list that is mapped over, if a bracket here does: in the first argument, or the first keyword's."""
        if not self._may_start_list:
            return False
        self._may_start_list = False
        keyword, before = split_keyword(self._tokens[self._start :], self._head.parameters)
        if written_in(before).strip():
            return False
        self._list = _MappedList(keyword, dict(self._keywords))
        self._add_between("[")
        return True

    def _close_list(self) -> None:
        """Take the list as complete."""
        assert self._list is not None
        self._take_element()
        self._add_between("]")
        self._list.end = self._start

    def _take_element(self) -> None:
        """Take the element as complete."""
        assert self._list is not None
        tokens = self._tokens[self._start :]
        if self._list.error is None and self._error is None and written_in(tokens).strip():
            try:
                value = read_value(tokens, self._head.results)
            except UnreadableError as unreadable:
                self._list.error = str(unreadable)
            else:
                self._list.values.append(value)
                self._give_out(Element(self._head.number, self._head.tool, value, self._list.keyword, self._list.given))


def _without_stars(tokens: list[Token]) -> list[Token]:
    """The dict of `**{…}`."""
    start = next(index for index, (_, text) in enumerate(tokens) if "{" in text)
    kind, text = tokens[start]
    return [(kind, text[text.index("{") :]), *tokens[start + 1 :]]
