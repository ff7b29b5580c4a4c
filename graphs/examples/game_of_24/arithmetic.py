"""Exact arithmetic for the Game of 24: what expressions are worth, the steps from a state, whether it leads to 24.

A state is what is left: a list of expressions, such as `["10 - 4", "9", "13"]`. A step makes one of two of them, so a
state of one expression is the end of a game.
"""

import ast
import operator
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import permutations

TARGET = 24
MAX_CHARACTERS = 200
"""Longer than any expression of a game."""

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_BY_NODE = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def value_of(expression: str) -> Fraction:
    """What an expression of whole numbers, `+ - * /` and parentheses is worth.

    Raises:
        ValueError: It is something else, or it divides by zero.
    """
    try:
        if len(expression) > MAX_CHARACTERS:
            raise ValueError
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (ValueError, SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        raise ValueError(
            f"{expression[:MAX_CHARACTERS]!r} is not an expression of whole numbers with + - * / and parentheses."
        ) from None


def combine(first: str, sign: str, second: str) -> str:
    """The expression of two: `(10 - 4) * 9`."""
    return f"{_as_operand(first)} {sign} {_as_operand(second)}"


def take_step(state: Sequence[str], first: int, sign: str, second: int) -> list[str]:
    """The state after a step with the expressions at two places; the new one stands first."""
    rest = [expression for place, expression in enumerate(state) if place not in (first, second)]
    return [combine(state[first], sign, state[second]), *rest]


def steps_from(state: Sequence[str]) -> Iterator[tuple[int, str, int]]:
    """Every step worth taking: not those below zero, which a game for a positive number can do without, and one of
    those that leave the same."""
    for first, sign, second, _ in _steps([value_of(expression) for expression in state]):
        yield first, sign, second


def leads_to_target(state: Sequence[str]) -> bool:
    """Whether the target can be reached from the state."""
    return _leads(tuple(sorted(value_of(expression) for expression in state)))


@lru_cache(maxsize=100_000)
def _leads(values: tuple[Fraction, ...]) -> bool:
    if len(values) == 1:
        return values[0] == TARGET
    return any(_leads(tuple(sorted(left))) for *_, left in _steps(values))


def _steps(values: Sequence[Fraction]) -> Iterator[tuple[int, str, int, tuple[Fraction, ...]]]:
    """Each step, with the values that it leaves, the new one first."""
    seen = set()
    for first, second in permutations(range(len(values)), 2):
        rest = sorted(value for place, value in enumerate(values) if place not in (first, second))
        for sign, calculate in OPERATORS.items():
            if (sign == "/" and not values[second]) or (sign == "-" and values[first] < values[second]):
                continue
            left = (Fraction(calculate(values[first], values[second])), *rest)
            if left not in seen:
                seen.add(left)
                yield first, sign, second, left


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.BinOp(left, kind, right) if type(kind) in _BY_NODE:
            return Fraction(OPERATORS[_BY_NODE[type(kind)]](_value(left), _value(right)))
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand)
        case ast.Constant(int(number)) if not isinstance(number, bool):
            return Fraction(number)
    raise ValueError


def _as_operand(expression: str) -> str:
    return expression if expression.isdecimal() else f"({expression})"
