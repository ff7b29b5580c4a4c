"""What stands beside a call on its line, and may make it conditional: `send("ana") if $1 > 3`. Nothing evaluates that,
so that such a call must not be made as if it weren't there. Remarks are none of it."""

import re

CONDITION = (
    "The plan ends here, at {text!r}: it has no conditions and no loops, and beside a call stands nothing but a "
    "remark, behind a #. End with `join()` where a result must be seen first."
)
LONGEST = 2000
"""Characters of a line that are looked at."""

_IF = r"(?:(?:el)?if|unless|when(?:ever)?|while|until|for\s+(?:each|every|all|any|\w+(?:\s*,\s*\w+){0,9}\s+in))\b"
_BULLETS = r"[\s>*_`\-–—+•|(\[,;]*"
_BEGINS = re.compile(rf"{_BULLETS}(?:\d+[.):]\s*)?{_IF}", re.IGNORECASE)
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
_MAY_STATE = re.compile(r"\b(?:if|unless|only|else|otherwise)\b", re.IGNORECASE)
_NOTHING = re.compile(r"[\s`*_)\]}>,;.|\-]*(?:```\s*\w*|(?:and\s+)?then|and)?\s*", re.IGNORECASE)
_REMARK = re.compile(r"[\s`*_.]*(?:#|//|/\*|[-–—→:(\[=])")
_PURPOSE = re.compile(r"[\s`*_,;]*(?:(?:in order )?to|for|as)\b", re.IGNORECASE)
_CALL = re.compile(r"\w\s?\(")


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
    before = before[-LONGEST:]
    return begins_with_condition(before) or bool(_CODE_BEFORE.search(before) or (not is_next and _NEXT.search(before)))


def is_left_over(behind: str, *, changes: bool) -> bool:
    """Whether the text behind a call on its line may say that it is to be made otherwise than it is written.

    Args:
        behind: The text.
        changes: Whether the call changes something. Then all words count but those of a remark; else, only a
            condition, code and another call do.
    """
    text = behind[:LONGEST]
    if _NOTHING.fullmatch(text):
        return False
    if _STATES.match(text) or _CODE_BEHIND.match(text) or (changes and _MAY_STATE.search(text)):
        return True
    if _REMARK.match(text):
        return False
    return bool(_CALL.search(text)) or (changes and not _PURPOSE.match(text))
