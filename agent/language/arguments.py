"""What has been read of a call: its tokens, which become values when an argument, or an element of a map's list, is
complete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.language.literals import Kind, Token, UnreadableError, read_value, shorten, split_keyword, written_in
from agent.language.tasks import Call, Element

NO_LIST = "The list that is mapped over is followed by {text}."
GIVEN_AGAIN = "The argument {name!r} stands before the list that is mapped over, and again after it."


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


@dataclass
class Arguments:
    """The arguments of one call."""

    number: int | None
    """The number that the plan gives the call."""

    tool: str
    mapped: bool
    """Whether the tool is called for each element of a list."""

    give_out: Callable[[Element], None]
    """Is given each of these elements as soon as it has been read."""

    tokens: list[Token] = field(default_factory=list)
    error: str | None = None
    """Why nothing further can be read."""

    parts: int = 0
    """How many things there are in them. It doesn't depend on how the text was cut into chunks."""

    run: str = ""
    """The kind of the run of characters that the text so far ends in, of which more may come; or nothing."""

    def __post_init__(self) -> None:
        self._start = 0
        """Where in the tokens the argument begins, or the element, that is being read."""

        self._values: list[Any] = []
        self._keywords: dict[str, Any] = {}
        self._unreadable: str | None = None
        self._list: _MappedList | None = None
        self._may_start_list = self.mapped
        self._last = ""
        """The last token that is not just space."""

    @property
    def last_character(self) -> str:
        """The last one that is no space."""
        return self._last.rstrip()[-1:]

    def last_characters(self, count: int) -> str:
        """The end of the argument so far, however many pieces it came in."""
        return written_in(self.tokens[max(self._start, len(self.tokens) - count) :])[-count:]

    def add(self, text: str, kind: Kind = "code", run: str = "") -> None:
        """Add a token to the argument that is being read; it may be a piece of a run."""
        self.tokens.append((kind, text))
        self.parts += text.count("$") + (not run or run != self.run)
        self.run = run
        if not text.isspace():
            self._last = text

    def mark_prefix(self, length: int) -> None:
        """Mark the last characters as the prefix of a string."""
        code = ""
        while len(code) < length:
            code = self.tokens.pop()[1] + code
        if before := code[:-length]:
            self.tokens.append(("code", before))
        self.tokens.append(("prefix", code[-length:]))

    def end_argument(self) -> None:
        """Take the argument as complete: a comma follows."""
        self._take_argument()
        self._add_between(",")

    def end(self, missing: Sequence[str]) -> None:
        """Take the last argument as complete, with these brackets closed that the model forgot."""
        in_element = missing[:-1] if self.in_list else missing
        self.tokens += [("missing", closer) for closer in in_element]
        if self._list and self.in_list:
            self._take_element()
            self._start = self._list.end = len(self.tokens)
        self._take_argument()

    def call(self) -> Call:
        """The call with these arguments; or with what is wrong with them."""
        values, keywords, error = self._values, self._keywords, self.error or self._unreadable
        if self._list:
            error = error or self._list.error
            if self._list.keyword:
                keywords = {self._list.keyword: self._list.values, **keywords}
            else:
                values = [self._list.values, *values]
        text = written_in(self.tokens)
        if error:
            return Call(self.number, self.tool, text=shorten(text, 400), error=error, mapped=self.mapped)
        return Call(self.number, self.tool, values, keywords, text, mapped=self.mapped)

    def _take_argument(self) -> None:
        tokens = self.tokens[self._start :]
        written = written_in(tokens).strip()
        if written and self._list and self._list.end == self._start:
            self._list.error = NO_LIST.format(text=shorten(written))
        elif written and self.error is None:
            name, tokens = split_keyword(tokens)
            self._may_start_list = self.mapped and self._list is None and name is not None
            try:
                value = read_value(tokens)
            except UnreadableError as unreadable:
                self._unreadable = self._unreadable or str(unreadable)
            else:
                if name is None:
                    self._values.append(value)
                elif self._list and name in self._list.given:
                    self._list.error = GIVEN_AGAIN.format(name=name)
                else:
                    self._keywords[name] = value

    def _add_between(self, text: str) -> None:
        """Add what stands between arguments or elements."""
        self.add(text)
        self._start = len(self.tokens)

    # --- the list of a map, whose elements are read one by one

    @property
    def in_list(self) -> bool:
        """Whether the list that is mapped over is open."""
        return self._list is not None and self._list.end is None

    def open_list(self) -> bool:
        """Open the list that is mapped over, if a bracket here does: in the first argument, or the first keyword's."""
        if not self._may_start_list:
            return False
        self._may_start_list = False
        keyword, before = split_keyword(self.tokens[self._start :])
        if written_in(before).strip():
            return False
        self._list = _MappedList(keyword, dict(self._keywords))
        self._add_between("[")
        return True

    def end_element(self) -> None:
        """Take the element as complete: a comma follows."""
        self._take_element()
        self._add_between(",")

    def close_list(self) -> None:
        """Take the list as complete."""
        assert self._list is not None
        self._take_element()
        self._add_between("]")
        self._list.end = self._start

    def _take_element(self) -> None:
        assert self._list is not None
        tokens = self.tokens[self._start :]
        if self._list.error is None and written_in(tokens).strip():
            try:
                value = read_value(tokens)
            except UnreadableError as unreadable:
                self._list.error = str(unreadable)
            else:
                self._list.values.append(value)
                self.give_out(Element(self.number, self.tool, value, self._list.keyword, self._list.given))
