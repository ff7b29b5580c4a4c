"""As much of a long text as may be shown."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

CUT = "… [cut: {shown:,} of {all:,} characters shown{picked}]"
PICKED = ", picked by their words"
LONGEST_READ = 100_000
"""Characters of a result that are looked through; what comes after them is only counted."""

LONGEST_ABOUT = 10_000
"""Characters of what is looked for: it may be a question with a document in it."""

DEEPEST_ELEMENTS = 5
"""How deep in a text elements are told apart: sentences, lists in it, and what stands in them."""

SHORT_PART = 100
"""Characters."""

_JSON_TOKEN = re.compile(
    r'\\.|"[^"\\]*+(?:\\.[^"\\]*+)*(?:"|\\?\Z)|(?<=[\[{,:\s])\'[^\'\\\n]*+(?:\\.[^\'\\\n]*+)*\'(?=[\s,:\]}])|[\[\]{},]',
    re.DOTALL,
)
_CONTAINER = re.compile(r"[\[{](?=\s*(?:[\[{\"'\d\-\]}]|true|false|null|None|True|False))")
"""Where a list or dict begins, in JSON or as Python writes it."""

_SENTENCE = (
    r"[^\n]{{0,{longest}}}?(?:[.!?]{{1,9}}\s{{1,9}}|[。！？]|\n{{1,99}})|[^\n]{{1,{longest}}}(?<=\s)"
    r"|[^\n]{{1,{longest}}}(?<=[,;|])|[^\n]{{1,{longest}}}(?<![\d.])|[^\n]{{1,{longest}}}"
)
"""Up to the end of a sentence or line; if that is too long, of a word, a field or a figure; or anywhere."""

_CUT_BEFORE = re.compile(r"… \[cut: [0-9,]+ of ([0-9,]+) characters shown[^\[\]]*\]\Z")
_WORD = re.compile(r"\w{3,}|[^\W\d]\d|\d[^\W\d]")
"""Short ones say little, unless they are names such as E3."""

_FIGURES = re.compile(r"(?<!\w)(?=[^\W\d]*[-./:]?\d)\w+(?:[-./:]\w+)+")
"""Such as 2026-06-01, A-1001 and 12:30, whose parts many others have."""


def excerpt(text: str, most: int, about: str = "") -> str:
    """The text, or, if it has more than `most` characters, as much of it: its beginning and, from the rest, the
    sentences, or elements of a JSON text, with most of the rarer words that `about` has, in their order; with a note
    that something is missing. Words that most of them have tell none apart. Behind a gap in a list, it says which
    element it goes on with. An excerpt can be made shorter.

    Args:
        text: Any text; reading it takes time in proportion to its length, and for at most `LONGEST_READ` characters.
        most: How many characters of it may be shown.
        about: What is looked for in it, such as the arguments of the call that gave it.
    """
    if len(text) <= most:
        return text
    cut_before = _CUT_BEFORE.search(text, max(0, len(text) - 200))
    length = int(cut_before[1].replace(",", "")) if cut_before else len(text)
    text = text[: cut_before.start()] if cut_before else text
    about = ends(about)
    patterns = [pattern for pattern in (_WORD, _FIGURES) if pattern.search(about)]
    wanted = _words(patterns, about, 0, len(about))
    parts = list(_parts(text, min(len(text), LONGEST_READ if wanted else most + 1), most))
    found = [wanted & _words(patterns, text, start, end) for start, end in parts]
    frequency = Counter(word for words in found for word in words)
    common = {word for word, parts_with_it in frequency.items() if parts_with_it > max(1, len(parts) // 2)}
    scores = [sum(1 / frequency[word] for word in words - common) for words in found]
    head = most // 3 if any(scores) else most
    chosen, left = [], most
    for index in sorted(range(len(parts)), key=lambda index: (parts[index][1] > head, -scores[index], index)):
        start, end = parts[index]
        if end - start <= left:
            left -= end - start
            chosen.append(index)
        elif not scores[index]:
            break
    elements = {} if cut_before else _elements(text, parts[-1][1])
    shown, last = "", 0
    for start, end in (parts[index] for index in sorted(chosen)):
        if start == last:
            shown += text[start:end]
        else:
            place = f"[{elements[start]}]: " if start in elements else ""
            shown += f"… {place}{text[start:end].lstrip().removeprefix('… ')}"
        last = end
    picked = PICKED if any(scores) or (cut_before and PICKED in cut_before[0]) else ""
    return shown.rstrip().rstrip(",") + CUT.format(shown=most, all=length, picked=picked)


def ends(about: str) -> str:
    """What of a text is looked for: its beginning and its end."""
    half = LONGEST_ABOUT // 2
    return about if len(about) <= LONGEST_ABOUT else f"{about[:half]} {about[-half:]}"


def _words(patterns: Sequence[re.Pattern[str]], text: str, start: int, end: int) -> set[str]:
    return {word.casefold() for pattern in patterns for word in pattern.findall(text, start, end)}


def _elements(text: str, end: int) -> dict[int, int]:
    """Which element begins where, of a text that is a list; the first is not among them."""
    borders: list[int] = []
    opening, _ = next(_containers(text, end, [borders]), (-1, -1))
    return {start: index for index, start in enumerate(borders, 1)} if opening == 0 and text[0] == "[" else {}


def beginning(text: str, most: int) -> str:
    """The beginning of a text that has more than `most` characters, up to the end of a part of it, and `…`."""
    end = 0
    for _, part_end in _parts(text, most + 1, most):
        end = part_end if part_end <= most else end
    return f"{text[:end].rstrip().rstrip(',')}…"


def _parts(text: str, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Where the parts of a text begin and end: sentences and lists or dicts; of one that takes more than half of what
    may be shown, its own elements. Short ones are taken together."""
    borders: list[list[int]] = [[] for _ in range(DEEPEST_ELEMENTS)]
    sentence = re.compile(_SENTENCE.format(longest=max(1, min(300, most // 4))))
    written = 0
    for opening, closing in _containers(text, end, borders[1:]):
        borders[0] += [match.end() for match in sentence.finditer(text, written, opening)]
        borders[0].append(closing)
        written = closing
    if written:
        borders[0] += [match.end() for match in sentence.finditer(text, written, end)]

    def split(start: int, end: int, depth: int) -> Iterator[int]:
        """Where parts of this part end."""
        if end - start <= most // 2 and written:
            yield end
        elif depth == DEEPEST_ELEMENTS:
            yield from (match.end() for match in sentence.finditer(text, start, end))
        else:
            level = borders[depth]
            for one, next_one in pairwise([start, *level[bisect_right(level, start) : bisect_left(level, end)], end]):
                yield from split(one, next_one, depth + 1)

    start = last = 0
    for border in split(0, end, 0):
        if border - start > min(SHORT_PART, most // 4) and last > start:
            yield start, last
            start = last
        last = border
    if start < end:
        yield start, end


def _containers(text: str, end: int, borders: Sequence[list[int]]) -> Iterator[tuple[int, int]]:
    """Where lists and dicts in a text begin and end; where their elements end, by depth, goes to `borders`."""
    position = 0
    while opening := _CONTAINER.search(text, position, end):
        depth, position = -1, end
        for token in _JSON_TOKEN.finditer(text, opening.start(), end):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if token[0] == "," and depth < len(borders):
                borders[depth].append(token.end())
            elif depth < 0:
                position = token.end()
                break
        yield opening.start(), position
