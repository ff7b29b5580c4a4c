"""Reads arithmetic, in words or in symbols."""

import ast
import re
from collections.abc import Sequence
from contextlib import suppress

from graphs.offline.words import WORDS, in_digits

NUMBER = r"(?<![\w.$])\d+(?:\.\d+)?"
OPERAND = rf"(?:(?:sqrt|factorial)?\([^()]*\)|\$\d+(?:\[\d+\])?|{NUMBER})"
FURTHER = rf"(?:,? and|,| to| by| from) {OPERAND}"
LISTED = re.compile(rf"({'|'.join(WORDS['folds'])}) (?:of |between )?({OPERAND}(?:{FURTHER})+)")
ALLOWED = re.compile(r"(?=.*[\d])(?:[\d.()+\-*/\s\[\]$]|sqrt|factorial)+")
THOSE = re.compile(r"(?:of |between )?\b(?:those|these|them|both)(?: (\d+))?(?: (?:values|results|numbers|figures))?$")


def read_arithmetic(text: str, known: Sequence[str] = ()) -> str | None:
    """The expression that a text asks for; None if it is no arithmetic.

    Args:
        text: Such as "What is 15% of 80?" or "the sum of those two".
        known: References to earlier results, which "those" and "it" stand for.
    """
    text = _with_known(_in_symbols(text), known)
    steps = [step for step in re.split(r",(?: and| then)* (?=[-+*/] )|(?: and)? then (?=[-+*/] )", text) if step]
    expression = ""
    for step in steps:
        step = LISTED.sub(_fold, step)
        step = re.sub(rf"(sqrt|factorial) ({OPERAND})", r"\1(\2)", step)
        step = re.sub(rf"({NUMBER})% of (\S.*)", r"\1 / 100 * \2", step)
        expression = f"({expression}) {step}" if expression else step
    if not ALLOWED.fullmatch(expression):
        return None
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        tree = ast.parse(expression.replace("$", "_"), mode="eval")
        is_more_than_a_number = not isinstance(tree.body, ast.Constant | ast.Name | ast.Subscript)
        return ast.unparse(tree).replace("_", "$") if is_more_than_a_number else None
    return None


def _in_symbols(text: str) -> str:
    """The text in small letters, with signs and digits for words."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower().replace("’", "'")).strip(" .?!=\n")
    text = " ".join(in_digits(word) if word != "one" else word for word in text.split())
    lead = "|".join(WORDS["before arithmetic"])
    text = re.sub(rf"^(?:(?:{lead})\b\s*)+", "", text)
    text = re.sub(r"\b(add|multiply|divide|subtract)(?= \d+$)", lambda verb: WORDS["signs"][verb[1]], text)
    text = re.sub(r"(?<= and )(add|subtract)(?= \d)", lambda verb: WORDS["signs"][verb[1]], text)
    text = re.sub(r" and (?=[-+] \d)", " then ", text)
    for words in sorted(WORDS["arithmetic"], key=len, reverse=True):
        pattern = rf"\b{re.escape(words)}\b" if words[0].isalpha() else re.escape(words)
        text = re.sub(pattern, WORDS["arithmetic"][words], text)
    text = re.sub(r"(?<=\d) %", "%", text)
    return re.sub(r"\bthe\b ?", "", text)


def _with_known(text: str, known: Sequence[str]) -> str:
    """The text with references for what it says of earlier results."""
    if not known:
        return text
    if those := THOSE.search(text):
        count = int(those[1] or 2)
        return f"{text[: those.start()]}{' and '.join(known[-count:])}"
    if text.strip() in WORDS["folds"]:
        return f"{text} {' and '.join(known[-2:])}"
    return re.sub(r"\b(?:it|that|this|result)\b", known[-1], text)


def _fold(match: re.Match[str]) -> str:
    """The sum, or whatever it is, of several operands."""
    sign, operands = WORDS["folds"][match[1]], re.findall(OPERAND, match[2])
    if sign == "from":
        return f"({' - '.join(reversed(operands))})"
    if sign == "average":
        return f"(({' + '.join(operands)}) / {len(operands)})"
    return f"({f' {sign} '.join(operands)})"
