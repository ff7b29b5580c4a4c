"""Whether an answer is right, by the paper's rules: a number within 10 %, a text exactly, after the normalisation that
HotpotQA and SQuAD use.

An agent may answer in a sentence where the dataset has a word. What is compared is found without looking at the right
answer's value, in this order:

1. What follows the last `Answer:` or `answer is`, else the last bold text (`**…**` or a `\\boxed{…}`), else all of it.
2. A number: the only one if there is one. Else, without parentheses and without the numbers that the question has
   itself, the first of the last sentence that has any. `1.2 million` is 1,200,000; if the question asks for the answer
   "in millions", it is 1.2 too.
3. Yes or no: the first word.
4. One of the question's options (the lines after `Options:`): the only option that is named.
5. Other text: all of it, without a bracket at its end; or the subject or the complement of its first sentence (`X would
   be the smallest`, `The smallest is X`). It must be the same, word by word.
"""

import re
import string
import unicodedata
from typing import Literal

Kind = Literal["number", "yes or no", "option", "text"]
TOLERANCE = 0.1

_MARKER = re.compile(r"(?:\b(?:final )?answer(?: is\b|\s*[:=])|\A\s*finish\()\s*", re.IGNORECASE)
_BOLD = re.compile(r"\*\*(.+?)\*\*|\\boxed\{([^{}]*)\}", re.DOTALL)
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-−+]?)(?:[$€£¥]\s?)?(?P<digits>\d{1,3}(?:[,\u00a0\u202f ]\d{3})+(?!\d)|\d+)(?P<rest>\.\d+)?"
    r"(?:\s?[x×*]\s?10\^?(?P<power>[-−]?\d+)|[eE](?P<exponent>[-+−]?\d+))?(?!\d)"
    r"(?!(?:st|nd|rd|th)\b)(?:[\s-](?P<scale>thousand|million|billion|trillion)s?\b)?",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^a-z])|\n+")
_VERB = re.compile(
    r"\s(?:would(?: still| then)? (?:be|become|have|dominate|cover|stand)|will be|is|are|was|were|becomes?"
    r"|has|have|had)\s",
    re.IGNORECASE,
)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "“”„«»–—−…·", " "))
_DROPPED = str.maketrans(dict.fromkeys("'’‘`.", ""))


def kind_of(question: str, expected: str) -> Kind:
    """By which rule the right answer of a question is compared."""
    if normalise(expected) in ("yes", "no"):
        return "yes or no"
    if normalise(expected) in map(normalise, options(question)):
        return "option"
    return "number" if _whole_number(expected) is not None else "text"


def is_correct(question: str, expected: str, answer: str) -> bool:
    """Whether the answer is right by the rules above.

    Args:
        question: The question.
        expected: The right answer.
        answer: The agent's.
    """
    said = final_part(answer)
    match kind_of(question, expected):
        case "number":
            wanted = _whole_number(expected)
            found = numbers_meant(question, said) or numbers_meant(question, answer)
            return wanted is not None and any(_close(wanted, number) for number in found)
        case "yes or no":
            return normalise(said).split(" ")[0] == normalise(expected)
        case "option":
            named = _named([normalise(option) for option in options(question)], normalise(said))
            return named == [normalise(expected)]
        case "text":
            return normalise(expected) in _texts_meant(said)


def normalise(text: str) -> str:
    """Lower case, without articles, punctuation and extra space. A text of articles alone keeps them."""
    text = unicodedata.normalize("NFKC", text).lower().translate(_DROPPED).translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split()) or " ".join(text.split())


def options(question: str) -> list[str]:
    """The lines after `Options:` in a question."""
    _, found, rest = question.partition("Options:")
    return [line.strip(" \t-*") for line in rest.splitlines() if line.strip(" \t-*")] if found else []


def final_part(answer: str) -> str:
    """The part of an answer that says it: after a marker, or in bold, or all."""
    markers = list(_MARKER.finditer(answer))
    if markers and (rest := answer[markers[-1].end() :].strip()):
        answer = rest
    bold = [(first or second).strip() for first, second in _BOLD.findall(answer)]
    return (bold[-1] if bold and bold[-1] else answer).strip().strip("*`\"'").strip()


def numbers_meant(question: str, said: str) -> list[float]:
    """The number that an answer gives, in one or two readings; none if it has none."""
    matches = list(_NUMBER.finditer(said))
    if len(matches) > 1:
        asked = {_plain(match) for match in _NUMBER.finditer(question)}
        plain = _BRACKETS.sub(" ", said)
        for sentence in reversed([part for part in _SENTENCE_END.split(plain) if part]):
            found = list(_NUMBER.finditer(sentence))
            matches = [match for match in found if _plain(match) not in asked] or matches
            if matches[0] in found:
                break
    if not matches:
        return []
    match = matches[0]
    scale = (match["scale"] or "").lower()
    readings = [_plain(match) * _SCALES.get(scale, 1)]
    if scale and re.search(rf"\bin {scale}", question, re.IGNORECASE):
        readings.append(_plain(match))
    return readings


def _whole_number(text: str) -> float | None:
    """The number that a text is, if it is one but for a unit, a currency or a percent sign."""
    match = _NUMBER.search(text)
    if not match:
        return None
    rest = (text[: match.start()] + text[match.end() :]).strip(" .%$€£¥~≈")
    unit = re.fullmatch(r"(?:[a-z]{1,3}|[a-z]*met(?:er|re)s?|people|years?|times|percent|°[CF])?[²³23]?", rest)
    return _plain(match) * _SCALES.get((match["scale"] or "").lower(), 1) if unit else None


def _plain(match: re.Match[str]) -> float:
    digits = re.sub(r"\D", "", match["digits"])
    power = (match["power"] or match["exponent"] or "0").replace("−", "-")
    sign = "-" if match["sign"] in ("-", "−") else ""
    return float(f"{sign}{digits}{match['rest'] or ''}e{int(power[:4]):d}")


def _close(wanted: float, found: float) -> bool:
    return abs(found - wanted) <= TOLERANCE * abs(wanted) + 1e-9


def _named(choices: list[str], said: str) -> list[str]:
    """The choices that a text names; one that only stands inside another's name is not named."""
    found = []
    for choice in sorted(choices, key=len, reverse=True):
        if choice and re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", said):
            found.append(choice)
            said = re.sub(rf"(?<!\w){re.escape(choice)}(?!\w)", "|", said)
    return found


def _texts_meant(said: str) -> set[str]:
    first = next((part for part in _SENTENCE_END.split(said) if part.strip()), "")
    plain = _BRACKETS.sub(" ", re.sub(r"[\s.]*\Z", "", first))
    texts = {said, _BRACKETS.sub(" ", said), first, plain}
    if len(parts := _VERB.split(f" {plain} ", maxsplit=1)) == 2:
        # What a comma sets off belongs to neither: "X, at 12 m, would be the smallest".
        texts |= {parts[0].partition(",")[0], parts[1].partition(",")[0]}
    return {normalise(text) for text in texts} - {""}
