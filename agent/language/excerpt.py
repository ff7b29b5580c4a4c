"""Long results cut around what a call asked for."""

import re
from collections import Counter

CUT = "… [cut: {shown:,} of {all:,} characters shown]"
LONGEST_READ = 100_000
"""Characters of a result that are looked through; what comes after them is only counted."""

_PART = re.compile(r"[^\n.!?]{0,300}(?:[.!?]+\s*|\n+|(?<=.)|\Z)", re.DOTALL)
_WORD = re.compile(r"\w{3,}")


def cut(text: str, most: int) -> str:
    """The text, cut with a note where it is longer than `most` characters."""
    return text if len(text) <= most else text[:most] + CUT.format(shown=most, all=len(text))


def excerpt(text: str, most: int, about: str = "") -> str:
    """The text, or, if it has more than `most` characters, as much of it: its beginning and, from the rest, the
    sentences with most of the rarer words that `about` has, in their order; with a note that something is missing.

    Args:
        text: Any text; reading it takes time in proportion to its length, and for at most `LONGEST_READ` characters.
        most: How many characters of it may be shown.
        about: What is looked for in it, such as the arguments of the call that gave it.
    """
    wanted = {word.casefold() for word in _WORD.findall(about)}
    if len(text) <= most or not wanted:
        return cut(text, most)
    head = most // 3
    parts = [match.span() for match in _PART.finditer(text, head, min(len(text), LONGEST_READ)) if match[0]]
    found = [wanted.intersection(map(str.casefold, _WORD.findall(text, start, end))) for start, end in parts]
    frequency = Counter(word for words in found for word in words)
    if not frequency:
        return cut(text, most)
    scores = [sum(1 / frequency[word] for word in words) for words in found]
    left = most - head
    chosen = []
    for index in sorted(range(len(parts)), key=lambda index: (-scores[index], index)):
        start, end = parts[index]
        if end - start <= left:
            left -= end - start
            chosen.append(index)
        elif left < 50:
            break
    shown = [text[:head]]
    end = head
    for index in sorted(chosen):
        start, stop = parts[index]
        shown.append(text[start:stop] if start == end else f"… {text[start:stop]}")
        end = stop
    return "".join(shown) + CUT.format(shown=most, all=len(text))
