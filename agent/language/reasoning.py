"""Thoughts in a model's text, which are neither plan nor answer.

Servers that know a model's marks send its thoughts apart; the others leave them in the text, in marks that each family
of models has its own of. All of them stand here.
"""

import re

THOUGHT = r"(?:thoughts?|gedanken?|überlegung(?:en)?|pens(?:amiento|ée|iero)|réflexion|思考|想法|考え)"
"""The word with which a line says to be a thought, in the languages that models often think in."""

_NAMES = (
    r"(?:(?:inner|internal|hidden|ant|longcat)_?)?(?:think|thinking|thoughts?|reason|reasoning|analysis|reflection|monologue"
    r"|scratchpad|cot|chain_of_thought)(?:_process)?"
)
_WORDS = r"(?:thought|thoughts|thinking|think|reasoning)"

_OPENING = "|".join(
    (
        rf"<[|｜]?(?:\w{{1,12}}:)?{_NAMES}(?:\s[^<>/\n]{{0,80}})?[|｜]?>",  # <think>, <seed:think>
        rf"\[(?:{_WORDS}|(?-i:REASONING|ANALYSIS))\]",  # [THINK]
        r"◁think(?:ing)?▷",
        rf"<\|(?:begin_of_|start_){_WORDS}\|>",
        rf"<\|channel\|>\s*(?:analysis|commentary|{_WORDS})(?![^<]*\bto=)[^<]*<\|message\|>",  # harmony
        rf"<\|channel>\s*(?:{_WORDS}|analysis)?",  # Gemma
        r"<unused94>(?:thought)?",
    )
)
_CLOSING = "|".join(
    (
        rf"<[|｜]?/(?:\w{{1,12}}:)?{_NAMES}\s?[|｜]?>",
        rf"\[/(?:{_WORDS}|(?-i:REASONING|ANALYSIS))\]",
        r"◁/think(?:ing)?▷",
        rf"<\|(?:end_of_|end_){_WORDS}\|>",
        r"(?:<\|end\|>)?(?:<\|start\|>\s*assistant)?<\|channel\|>\s*final[^<]*<\|message\|>",
        r"<channel\|>",
        r"<unused95>",
    )
)
_END_OF_MESSAGE = (
    r"<\|(?:end|return|begin_of_solution|end_of_solution|im_end|eot_id|eom_id|endoftext|end_of_text|end_of_turn_token"
    r"|start_response|end_response)\|>|<\|start\|>\s*assistant|<\|im_start\|>\s*assistant"
    r"|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<end_of_turn>|<｜end▁of▁sentence｜>"
)
_END_OF_TEXT = re.compile(r"\s*(?:</s>|<eos>)\s*\Z")
"""Marks that are text of their own elsewhere: `<s>` is HTML."""

_FENCE_END = re.compile(r"(?<![^\n])[ \t]*(?:`{3,}|~{3,})[ \t]*(?:\n|\Z)")

_MARK = re.compile(
    rf"(?P<fence>(?:(?<!`)`{{3,}}|(?<!~)~{{3,}}){_WORDS}[ \t]*\n)"
    rf"|(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})|{_END_OF_MESSAGE}",
    re.IGNORECASE,
)
_END = re.compile(rf"{_CLOSING}|{_END_OF_MESSAGE}", re.IGNORECASE)
_UNFINISHED = re.compile(
    r"(?:<\|(?:end|start|channel|start_header_id)\|>[^<\n]{0,60}(?:<[|\w]{0,14})?){1,3}"
    r"|</s>\s*|<eos>\s*|<｜end[\w▁]{0,14}｜?"
    rf"|<{_NAMES}\s[^<>/\n]{{0,80}}"
    r"|<[|｜]?/?[\w:]{0,30}\s?[|｜]?|\[/?[a-z]{0,10}|◁/?[a-z]{0,10}"
    r"|[`~]{1,8}|[`~]{3,8}[rt][a-z]{0,8}[ \t]*|[`~]{3,8}[ \t]*",
    re.IGNORECASE,
)
_MARK_BEGINS = re.compile(r"[<\[◁]|[`~]+")
_LONGEST = 200
_IN_CALL = re.compile(r"[\s>*_`\-•]*(?:\d{1,9}\s*[.):]\s*)?[^\W\d][\w.\-]*\(")


class Thoughts:
    """Takes the thoughts out of a text that arrives in pieces.

    A mark right behind a quotation mark, or in a string of a call, is text. At a closing mark that nothing opened the
    text begins anew: the model's prompt ended with the opening one, and all so far was a thought.
    """

    def __init__(self, *, inside: bool = False) -> None:
        """
        Args:
            inside: Whether the text is expected to begin in a thought. If nothing ends that, it was none.
        """
        self.begins_inside = False
        """Whether the text has begun in a thought, as far as it has been read."""

        self.opened = False
        """Whether a mark has opened a thought: no closing mark of this text is one that nothing opened."""

        self._inside = inside
        self._end = _END
        self._expected: list[str] | None = [] if inside else None
        self._rest = ""
        self._shown = False
        self._strips = False
        self._line, self._last, self._quotes = "", "", 0

    def feed(self, piece: str) -> tuple[str, bool]:
        """What a piece adds to the text, and whether that begins anew with it."""
        text = self._rest + piece
        if not _MARK_BEGINS.search(text):
            return self._take(text), False
        end = _where_unfinished(text)
        self._rest = text[end:]
        return self._read(text[:end])

    def close(self) -> str:
        """What the end of the text adds to it."""
        rest = self._rest if "<s>" in self._line else _END_OF_TEXT.sub("", self._rest)
        text, _ = self._read(rest)
        return without_thoughts("".join(self._expected)) if self._expected is not None else text

    def _read(self, text: str) -> tuple[str, bool]:
        read: list[str] = []
        shown, anew = self._shown, False
        position = 0
        while mark := (self._end if self._inside else _MARK).search(text, position):
            read.append(self._take(text[position : mark.start()]))
            position = mark.end()
            if self._inside:
                self._end_thought(lone=self._expected is not None)
            elif self._is_text:
                read.append(self._take(mark[0]))
            elif mark["opening"] or mark["fence"]:
                self._inside = self.opened = True
                self._end = _FENCE_END if mark["fence"] else _END
            elif mark["closing"]:
                anew = shown
                read.clear()
                self._end_thought(lone=not self.opened)
            else:
                self._strips = not self._shown
        read.append(self._take(text[position:]))
        return "".join(read), anew

    def _end_thought(self, *, lone: bool) -> None:
        self.begins_inside = self.begins_inside or lone
        self._expected = None
        self._inside = self._shown = False
        self._end = _END
        self._strips = True
        self._line, self._last, self._quotes = "", "", 0

    @property
    def _is_text(self) -> bool:
        """Whether a mark at this place is text."""
        return self._last in ('"', "'", "`") or bool(self._quotes % 2 and _IN_CALL.match(self._line))

    def _take(self, text: str) -> str:
        if self._inside:
            if self._expected is not None:
                self._expected.append(text)
            return ""
        if self._strips:
            text = text.lstrip()
            self._strips = not text
        self._shown = self._shown or (bool(text) and not text.isspace())
        _, new_line, line = text.rpartition("\n")
        if new_line:
            self._line, self._quotes = "", 0
        self._line = (self._line + line)[:_LONGEST]
        self._quotes += line.count('"')
        self._last = text[-1:] or self._last
        return text


def without_thoughts(text: str) -> str:
    """A whole text without its thoughts; one without any stays as it is."""
    thoughts = Thoughts()
    read, _ = thoughts.feed(text)
    return read + thoughts.close()


def _where_unfinished(text: str) -> int:
    """Where what may become a mark begins, at the end of the text; else its length."""
    for begin in _MARK_BEGINS.finditer(text, max(len(text) - _LONGEST, 0)):
        if _UNFINISHED.fullmatch(text, begin.start()):
            return begin.start()
    return len(text)
