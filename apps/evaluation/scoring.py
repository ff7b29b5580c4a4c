"""Whether an answer is right, and why. A scorer is chosen for all questions, or in the dataset for one:

| scorer | right is |
|---|---|
| `paper` | as in the paper: a number within 10 %, a text exactly, after the normalisation that HotpotQA and SQuAD use |
| `exact` | the right answer alone, after that normalisation |
| `contains` | an answer with the right one's words in it |
| `number`, `number:0.01` | a number within 10 %, or within that share |
| `judge` | what a model calls so (`apps.evaluation.judge`); without its verdict, as in the paper |

By the paper's rules an agent may answer in a sentence where the dataset has a word. What is compared is found without
looking at the right answer's value, in this order:

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
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "yes or no", "option", "text"]
TOLERANCE = 0.1
SCORERS = ("paper", "exact", "contains", "number", "judge")
UNKNOWN = "There is no scorer {name!r}; there are {names}, and number with a tolerance, as in number:0.01."

WORDS_DIFFER = "the words differ"
"""Why an answer is wrong that a judge might find right."""

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


@dataclass(frozen=True)
class Score:
    """What a scorer says of an answer."""

    right: bool
    why: str


def check_scorer(name: str) -> str:
    """The scorer's name.

    Raises:
        ValueError: There is none of that name.
    """
    kind, colon, tolerance = name.partition(":")
    if kind in SCORERS and not colon:
        return name
    if kind == "number" and re.fullmatch(r"\d+(?:\.\d+)?", tolerance):
        return name
    raise ValueError(UNKNOWN.format(name=name, names=", ".join(SCORERS)))


def score(question: str, expected: str, answer: str, scorer: str = "paper") -> Score:
    """Whether the answer is right, and why.

    Args:
        question: The question.
        expected: The right answer.
        answer: The agent's.
        scorer: One of those above.
    """
    kind, _, tolerance = scorer.partition(":")
    match kind:
        case "exact":
            return _same(normalise(answer) == normalise(expected), expected, answer)
        case "contains":
            has = bool(_named([normalise(expected)], normalise(answer)))
            return Score(has, f"it has {expected!r} in it" if has else f"{WORDS_DIFFER}: it has no {expected!r}")
        case "number":
            return _number(question, expected, answer, float(tolerance or TOLERANCE))
    return _by_the_paper(question, expected, answer)


def _by_the_paper(question: str, expected: str, answer: str) -> Score:
    said = final_part(answer)
    match kind_of(question, expected):
        case "number":
            return _number(question, expected, answer, TOLERANCE)
        case "yes or no":
            first = normalise(said).split(" ")[0]
            return Score(first == normalise(expected), f"its first word is {first!r}")
        case "option":
            named = _named([normalise(option) for option in options(question)], normalise(said))
            why = f"the options that it names: {', '.join(named) or 'none'}"
            return Score(named == [normalise(expected)], why)
        case "text":
            return _same(normalise(expected) in _texts_meant(said), expected, answer)


def _same(same: bool, expected: str, answer: str) -> Score:
    if same:
        return Score(True, "the words are the same")
    if _named([normalise(expected)], normalise(answer)):
        return Score(False, f"{WORDS_DIFFER}: it has {expected!r} in it, and says more")
    return Score(False, f"{WORDS_DIFFER}: it has no {expected!r}")


def _number(question: str, expected: str, answer: str, tolerance: float) -> Score:
    wanted = _whole_number(expected)
    if wanted is None:
        return Score(False, f"the right answer {expected!r} is no number")
    found = numbers_meant(question, final_part(answer)) or numbers_meant(question, answer)
    if not found:
        return Score(False, "it has no number")
    right = any(abs(number - wanted) <= tolerance * abs(wanted) + 1e-9 for number in found)
    within = f"{'' if right else 'not '}within {100 * tolerance:g} % of {wanted:,.12g}"
    return Score(right, f"its number is {found[0]:,.12g}, {within}")


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
