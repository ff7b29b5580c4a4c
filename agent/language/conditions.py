"""What stands around a call, and may make it conditional: `send("ana") if $1 > 3`. Nothing evaluates that, so that such
a call must not be made as if it weren't there.

A condition can be said in any words and any language. Around a call that changes something stand therefore only calls,
remarks, sentences and thoughts, and in these no words that tell of a condition. To take harmless words for one costs
another plan; the other way round, an effect that nobody wanted. What changes nothing may be made; there, only what is
plainly a condition counts.
"""

import json
import re
from pathlib import Path

from agent.language.literals import shorten

CONDITION = (
    "The plan ends here, at {text!r}: it has no conditions and no loops, nor, around a call that changes something, "
    "words that may be one. Write the calls alone. End with `join()` where a result must be seen first."
)
LONGEST_LINE = 2000
"""Characters of a line that are looked at."""

_IF = r"(?:(?:el)?if|unless|when(?:ever)?|while|until|for\s+(?:each|every|all|any|\w+(?:\s*,\s*\w+){0,9}\s+in))\b"
BULLETS = r"[\s>*_`\-–—+•|(\[,;①-⑳]*+"
"""What lines begin with. Possessive (`*+`), since the same characters may follow: else a row of stars takes the square
of its length."""

_BEGINS = re.compile(rf"{BULLETS}(?:\d+[.):]\s*)?{_IF}", re.IGNORECASE)
_CODE_LINE = re.compile(rf"\s*{_IF}.*[:{{]\s*\Z", re.DOTALL)
_REFERENCE = re.compile(r"\$\{?\d")
_CODE_BEFORE = re.compile(
    r"(?:\b(?:or|not|else)|&&|\|\||\?)\s*\Z|(?:\$\{?\d\S{0,40}|\w)\s+(?:[<>]=?|[!=]=)", re.IGNORECASE
)
_NEXT = re.compile(r"(?:\band|&)\s*\Z", re.IGNORECASE)

_CODE_BEHIND = re.compile(r"\[|\.\w|\s*(?:(?:[+*/%^x×<>\-]|[<>=!]=)\s*[\d$\"]|&|\|\||>>|\?\s*\S)")
_STATES = re.compile(
    rf"[\W_]*(?:{_IF}|(?:else|otherwise|provided|assuming|in case|as long as|except|repeat)\b)"
    rf"|.*\bonly\s+(?:{_IF}|on\b|after\b|with\b)|.*\b(?:if|unless|when|while|until)\b.*\$\{{?\d",
    re.IGNORECASE | re.DOTALL,
)
_WORDS: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
"""What tells of a condition, by where it does and in which language: regular expressions, in which `*` alone stands for
the rest of a word, and each alternative is one of its own (not `a|b`). What tells of an order only (once, after) is
none: the plan's order is kept."""


def _any(where: str) -> str:
    """The expression for these words of any language. Those with the same first letter stand together: some seventy
    alternatives are tried at each word of a text, not four hundred."""
    beginning_with: dict[str, list[str]] = {}
    for words in _WORDS[where].values():
        for word in words:
            letter = word[0] if word[0].isalpha() else ""
            beginning_with.setdefault(letter, []).append(word.removeprefix(letter).replace("*", r"\w*"))
    return "|".join(f"{letter}(?:{'|'.join(rest)})" for letter, rest in beginning_with.items())


_MAY_STATE = re.compile(
    rf"\b(?:{_any('words')}|only(?! need))\b|{_any('parts of words')}"
    rf"|(?:\A|[#(,;:：.–—\-])\s*(?:{_any('at the beginning of a clause')})\b|\$\{{?\d|[<>=!]=|[<>?]",
    re.IGNORECASE,
)
_REMARKED = re.compile(
    rf"\b(?!confirmation)(?:{_any('in a remark')}|{_any('at the beginning of a clause')})\b|n['’]t\b|→"
    rf"|#\s*(?!depends)(?:\w+\s+)?(?:{_any('at the beginning of a remark')})\b",
    re.IGNORECASE,
)
"""The same in a remark, which has little else to say of a call. Thoughts may."""

_NAMES_RESULT = re.compile(
    r"\s*(?:->|=>|→|=|\bas\b(?! (?:needed|necessary|required|appropriate|applicable)))\s*\$?(\w+)[\s.;:,]*"
)
_NOTHING = re.compile(
    r"[\s`*_)\]}>,;.|\-]*+(?:(?<=```)\w+|</?(?:plan|calls|code|output|response)>|and"
    r"|(?:and\s+)?(?:first|then|next|now|also|finally|lastly|after that))?[\s:*_`,]*",
    re.IGNORECASE,
)
"""What says nothing: `Then:`, `**Finally:**`, `<plan>`."""

_REFERS = re.compile(
    r"\b(?:of|from|uses?|using|know|have)\s+\$\d+(?:(?:,| and)\s+\$\d+)*(?=\W*\Z|[.,;:)]\s|\s+(?:to|for|as)\b)",
    re.IGNORECASE,
)
"""Words that only refer to a result: `# send the height from $1 to Ana`."""

_REMARK = re.compile(r"[\s`*_.;,)]*(?:#|//|/\*|--\s|[-–—]\s|\()")
_SENTENCE = re.compile(
    rf"{BULLETS}(?:(?:step|part)\s*\d+\W|(?:first|then|next|now|finally)\b|[^\W\d_].*\s.*[.!。]\W*\Z)", re.IGNORECASE
)
_OTHER_REMARK = re.compile(r"[\s`*_.]*[-–—→:\[=]")
"""How else a remark may begin on a call that changes nothing."""

_CALL = re.compile(r"\w\s?\(")


def condition_error(text: str) -> str:
    """What the planner is told of a call that stands under this condition."""
    return CONDITION.format(text=shorten(text.strip()))


def begins_with_condition(line: str) -> bool:
    """Whether a line begins with the words of a condition or a loop; prose may, too."""
    return _BEGINS.match(line) is not None


def is_condition(line: str) -> bool:
    """Whether a line without a call is a condition, or a loop, that what follows stands under: `if $1 > 3:`. It is
    about a result, or is code; else it is prose."""
    return begins_with_condition(line) and bool(_REFERENCE.search(line) or _CODE_LINE.match(line))


def stands_under_condition(before: str, *, is_next: bool) -> bool:
    """Whether the text before a call on its line makes it conditional.

    Args:
        before: The text.
        is_next: Whether another call stands before that, of which this is the next: one `and` the other.
    """
    before = before[-LONGEST_LINE:]
    return begins_with_condition(before) or bool(_CODE_BEFORE.search(before) or (not is_next and _NEXT.search(before)))


def may_be_conditional(text: str, *, beside: bool) -> bool:
    """Whether the text before, behind or between calls may be about when, or how, a call is to be made that changes
    something.

    Args:
        text: The text.
        beside: Whether it stands beside calls, or between their lines, where only remarks belong.
    """
    if _NOTHING.fullmatch(text) or _NAMES_RESULT.fullmatch(text):
        return False
    is_remark = _REMARK.match(text) is not None
    return bool(_MAY_STATE.search(_REFERS.sub("", text)) or (_REMARKED.search(text) if is_remark else beside))


def result_named(behind: str) -> str:
    """The name that the text behind a call gives its result, as in `search("K2") -> height`; or nothing."""
    named = _NAMES_RESULT.fullmatch(behind)
    return named[1] if named and not named[1][0].isdigit() else ""


def is_sentence(line: str) -> bool:
    """Whether a line between calls is prose, as `Step 2: Send the mail`, and no fragment, as `late orders:`."""
    return _SENTENCE.match(line) is not None


def is_left_over(behind: str, *, changes: bool) -> bool:
    """Whether the text behind a call on its line may say that it is to be made otherwise than it is written.

    Args:
        behind: The text.
        changes: Whether the call changes something. Then all words count but those of a remark; else, only a
            condition, code and another call do.
    """
    text = behind[:LONGEST_LINE]
    if _NOTHING.fullmatch(text):
        return False
    if changes:
        return may_be_conditional(text, beside=True)
    if _STATES.match(text) or _CODE_BEHIND.match(text):
        return True
    return not (_REMARK.match(text) or _OTHER_REMARK.match(text)) and bool(_CALL.search(text))
