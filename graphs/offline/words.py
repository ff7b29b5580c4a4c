"""What the model knows of words: `words.json`, made ready to look things up in."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

WORDS: dict[str, Any] = json.loads(Path(__file__).with_name("words.json").read_text("utf-8"))


@dataclass(frozen=True)
class Measure:
    """Something that things have much or little of, such as height."""

    name: str
    unit: str
    nouns: list[str]
    """Other nouns for it."""

    more: list[str]
    """Adjectives for much of it."""

    less: list[str]
    """Adjectives for little of it."""

    asked: list[str] = field(default_factory=list)
    """Words that stand for it in a question, but not in a text."""


@dataclass(frozen=True)
class Adjective:
    """A form of an adjective, such as taller."""

    base: str
    degree: Literal["positive", "comparative", "superlative"]
    sign: int
    """1 if it stands for much, -1 for little."""


def _forms(base: str) -> dict[str, Literal["positive", "comparative", "superlative"]]:
    """An adjective's forms: big, bigger, biggest."""
    if base == "populous":
        return {base: "positive"}
    stem = base.rstrip("e")
    if base.endswith("y"):
        stem = f"{base[:-1]}i"
    elif base == "big":
        stem = "bigg"
    return {base: "positive", f"{stem}er": "comparative", f"{stem}est": "superlative"}


def _adjectives() -> dict[str, Adjective]:
    found: dict[str, Adjective] = {}
    for measure in MEASURES.values():
        for sign, bases in ((1, measure.more), (-1, measure.less)):
            for base in bases:
                found |= {form: Adjective(base, degree, sign) for form, degree in _forms(base).items()}
    for sign, words in ((1, WORDS["more"]), (-1, WORDS["less"])):
        for word in words:
            found[word] = Adjective("", "superlative" if word.endswith("st") else "comparative", sign)
    return found


def unit_of(text: str) -> tuple[int, float] | None:
    """The kind of a unit, and how much of the kind's first unit it is; a plural is the same."""
    for kind, units in enumerate(WORDS["units"]):
        for name in (text, text.removesuffix("s")):
            if name in units:
                return kind, units[name]
    return None


def in_digits(word: str) -> str:
    """A numeral in digits; any other word as it is."""
    ten, _, one = word.partition("-")
    if ten in WORDS["tens"] and (not one or one in WORDS["numerals"]):
        return str(20 + 10 * WORDS["tens"].index(ten) + (WORDS["numerals"].index(one) if one else 0))
    return str(WORDS["numerals"].index(word)) if word in WORDS["numerals"] else word


MEASURES = {row["name"]: Measure(**row) for row in WORDS["measures"]}
ADJECTIVES = _adjectives()
UNIT_NAMES = sorted({name for units in WORDS["units"] for name in units if name}, key=len, reverse=True)
LISTS = ("growing", "shrinking", "supposing", "asking", "everything", "kinds", "other", "unfit")
KNOWN = {
    *(
        part
        for one in MEASURES.values()
        for name in (one.name.lower(), *one.nouns, *one.asked)
        for part in name.split()
    ),
    *(part for name in UNIT_NAMES for part in (*name.lower().split(), *f"{name.lower()}s".split())),
    *(word for words in WORDS["operations"].values() for word in words),
    *ADJECTIVES,
    *WORDS["scales"],
    *(f"{scale}s" for scale in WORDS["scales"]),
    *WORDS["factors"],
    *WORDS["numerals"],
    *WORDS["tens"],
    *(word for kind in LISTS for word in WORDS[kind]),
}
"""The words that are no names of things."""
