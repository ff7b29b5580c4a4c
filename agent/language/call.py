"""Reads one call of the plan language, from its opening to its closing parenthesis, as its text arrives.

The text is cut into tokens, of which `literals` makes values when an argument, or an element of a map's list, is
complete. Whatever the text is, reading takes constant work per character: runs of ordinary characters are skipped by a
regular expression, and the rest needs a look ahead of at most `LOOKAHEAD` characters.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from agent.language.arguments import Arguments
from agent.language.literals import Kind, written_in
from agent.language.references import PATH
from agent.language.tasks import Call

CUT_OFF = "The plan ends in the middle of this call."
UNCLOSED_TEXT = "The text that starts with {start} is not closed."
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


@dataclass
class CallReader:
    """The state of one call that is being read."""

    cursor: Cursor
    """Where to read; it stands behind the opening parenthesis."""

    arguments: Arguments
    """What has been read."""

    starts_task: Callable[[int, bool], bool | None]
    """Whether the line at a position of the cursor's text starts the plan's next task, so that this call's closing
    parenthesis was forgotten; given whether the line may be part of a string. None if it takes more text to tell."""

    def __post_init__(self) -> None:
        self._state = self._read_code
        self._closers = [")"]
        self._excess = 0
        self._done = False
        self._quote = ""
        self._raw = False
        self._string_start = 0

    def read(self) -> Call | None:
        """Read on; the call if it is complete, None if it takes more text."""
        while not self._done and not self.cursor.at_end:
            if not self._state():
                break
            if self.arguments.parts > MOST_PARTS:
                self.arguments.error, self._done = TOO_LONG, True
        return self.arguments.call() if self._done else None

    def cut_off(self) -> Call:
        """The call when the text ends within it: readable only if just brackets are missing at the end of a line."""
        text = written_in(self.arguments.tokens)
        if self._state == self._read_string or "\n" not in text[len(text.rstrip()) :]:
            self.arguments.error = self.arguments.error or CUT_OFF
        self._close_all()
        return self.arguments.call()

    # --- Each state reads on from the cursor and returns whether it could; if not, it needs more text.

    def _read_code(self) -> bool:
        cursor = self.cursor
        if run := _CODE_RUN.match(cursor.text, cursor.position):
            return self._take(len(run[0]), run="code")
        character = cursor.text[cursor.position]
        match character:
            case "'" | '"':
                return self._open_string(character)
            case "$":
                return self._read_reference()
            case "\n":
                return self._read_newline()
            case "#" if self.arguments.last_character in ("", ",", "(", "[", "{"):
                self._state = self._skip_comment
                self.arguments.run = ""
                return True
            case "(" | "[" | "{":
                return self._open_brackets()
            case ")" | "]" | "}":
                return self._close_bracket(character)
            case "," if len(self._closers) == 1:
                self.arguments.end_argument()
            case "," if len(self._closers) == 2 and self.arguments.in_list:
                self.arguments.end_element()
            case _:
                return self._take(1)
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
        blank = _BLANK_LINES.match(self.cursor.text, self.cursor.position)
        return self._take(len(blank[0]) if blank else 1, run="lines")

    def _read_reference(self) -> bool:
        cursor = self.cursor
        ahead = cursor.ahead()
        if not cursor.final and len(ahead) < LOOKAHEAD and _OPEN_REFERENCE.fullmatch(ahead):
            return False
        reference = _REFERENCE.match(cursor.text, cursor.position)
        return self._take(len(reference[0]), "reference") if reference else self._take(1)

    def _open_brackets(self) -> bool:
        cursor = self.cursor
        if len(self._closers) == 1 and cursor.text[cursor.position] == "[" and self.arguments.open_list():
            self._closers.append("]")
            cursor.position += 1
            return True
        run = _OPENERS.match(cursor.text, cursor.position)
        assert run is not None
        room = DEEPEST - len(self._closers)
        self._closers.extend(_CLOSERS[opener] for opener in run[0][:room])
        if len(run[0]) > room:
            self._excess += len(run[0]) - room
            self.arguments.error = TOO_DEEP
        return self._take(len(run[0]), run="brackets")

    def _close_bracket(self, character: str) -> bool:
        if self._excess:
            self._excess -= 1
        elif character == ")" and ")" not in self._closers[1:]:
            self._close_all()  # of brackets still open, as in math("…", ["$1"), the parenthesis closes all
            self.cursor.position += 1
            return True
        elif character == self._closers[-1]:
            self._closers.pop()
            if len(self._closers) == 1 and self.arguments.in_list:
                self.arguments.close_list()
                self.cursor.position += 1
                return True
        return self._take(1)

    # --- strings

    def _open_string(self, quote: str) -> bool:
        cursor = self.cursor
        ahead = cursor.ahead(3)
        if ahead in (quote, quote * 2) and not cursor.final:
            return False
        before = self.arguments.last_characters(3)
        prefix = _PREFIX.search(before)
        if before[-1:].isalnum() and not prefix:
            return self._take(1)  # an apostrophe in text without quotes: Schindler's List
        self._raw = False
        if prefix:
            self._raw = "r" in prefix[1].lower()
            self.arguments.mark_prefix(len(prefix[1]))
        self._quote = quote * 3 if ahead == quote * 3 else quote
        self._string_start = len(self.arguments.tokens)
        self._state = self._read_string
        return self._take(len(self._quote), "quote")

    def _read_string(self) -> bool:
        cursor, quote = self.cursor, self._quote[0]
        if run := _STRING_RUN[quote].match(cursor.text, cursor.position):
            return self._take(len(run[0]), "text", run="text")
        character = cursor.text[cursor.position]
        if character == "\\":
            return self._read_escape()
        if character == quote:
            closes = self._quote_closes()
            if closes is None:
                return False
            if not closes:
                return self._take(1, "text")
            self._state = self._read_code
            return self._take(len(self._quote), "quote")
        if blank := _BLANK_LINES.match(cursor.text, cursor.position):
            return self._take(len(blank[0]), "text", run="lines")
        if character == "\n" and len(self._quote) == 1:
            next_task = self.starts_task(cursor.position + 1, True)
            if next_task is None:
                return False
            if next_task:
                start = written_in(self.arguments.tokens[self._string_start :])[:40]
                self.arguments.error = self.arguments.error or UNCLOSED_TEXT.format(start=start)
                self._close_all()
                return True
        return self._take(1, "text", run="lines" if character == "\n" else "")

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
            return self._take(escape.end(), "escape")
        return self._take(2 if self._raw and ahead[1:2] == self._quote[0] else 1, "text")

    # ---

    def _take(self, length: int, kind: Kind = "code", run: str = "") -> bool:
        """Read so many characters as a token."""
        cursor = self.cursor
        self.arguments.add(cursor.text[cursor.position : cursor.position + length], kind, run)
        cursor.position += length
        return True

    def _close_all(self) -> None:
        self.arguments.end(missing=list(reversed(self._closers[1:])))
        self._done = True
