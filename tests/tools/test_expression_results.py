"""`tools.expression` held against exact arithmetic: `fractions` for what is rational, `decimal` for what is not."""

import math
import random
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from tools.expression import evaluate

Case = tuple[str, Fraction]
SEED = 20240721
EACH = 120


def whole(rng: random.Random, depth: int = 4) -> Case:
    """Whole numbers with every operation that keeps them whole; divisions round down."""
    if not depth or rng.random() < 0.2:
        number = rng.randrange(10 ** rng.randrange(1, 13))
        return rng.choice([f"{number}", f"{number:_}", f"({number})"]), Fraction(number)
    (left, a), (right, b) = whole(rng, depth - 1), whole(rng, depth - 1)
    left, right = f"({left})", f"({right})"
    power = rng.randrange(6)
    cases: list[Case] = [
        (f"{left} + {right}", a + b),
        (f"{left} − {right}", a - b),
        (f"{left} × {right}", a * b),
        (f"-{left} * {right}", -a * b),
        (f"{left}^{power}", a**power),
        (f"-{left} ** {power}", -(a**power)),
        (f"abs({left} - {right})", abs(a - b)),
        (f"max({left}, {right})", max(a, b)),
        (f"min([{left}, {right}])", min(a, b)),
        (f"sum([{left}, {right}, 7])", a + b + 7),
        (f"gcd({left}, {right})", Fraction(math.gcd(int(a), int(b)))),
        (f"mean({left}, {left})", a),
        (f"median([{left}, {left}, {right}])", a),
        (f"{left} * {right} / {right}", a) if b else (left, a),
        (f"{left} // {right}", Fraction(a // b)) if b else (left, a),
        (f"{left} % {right}", a % b) if b else (left, a),
    ]
    text, value = rng.choice(cases)
    return (text, value) if abs(value) < 10**300 and len(text) < 3_000 else (left, a)


def positive(rng: random.Random, depth: int = 4) -> Case:
    """Decimals without cancellation, so that floats stay precise to the last digits."""
    if not depth or rng.random() < 0.2:
        cents = rng.randrange(1, 10**8)
        number = Fraction(cents, 100)
        percentage = rng.randrange(1, 300)
        return rng.choice(
            [
                (f"{cents / 100:.2f}", number),
                (f"({cents / 100!r})", number),
                (f"{cents}e-2", number),
                (f"({percentage}%)", Fraction(percentage, 100)),
                (f"({percentage}% of {cents})", Fraction(percentage * cents, 100)),
            ]
        )
    (left, a), (right, b) = positive(rng, depth - 1), positive(rng, depth - 1)
    left, right = f"({left})", f"({right})"
    cases: list[Case] = [
        (f"{left} + {right}", a + b),
        (f"{left} · {right}", a * b),
        (f"{left} ÷ {right}", a / b),
        (f"{left} ^ 2", a**2),
        (f"{left} ** -1", 1 / a),
        (f"max([{left}, {right}])", max(a, b)),
        (f"min({left}, {right})", min(a, b)),
        (f"sum({left}, {right})", a + b),
        (f"mean([{left}, {right}, {left}])", (a + b + a) / 3),
        (f"average({left}, {right})", (a + b) / 2),
        (f"median([{left}, {right}])", (a + b) / 2),
        (f"max({left}, {right}) / min({left}, {right})", max(a, b) / min(a, b)),
        (f"sum([{left}, {right}]) / len([{left}, {right}])", (a + b) / 2),
        (f"({left} + {right}) * (1 + 12%)", (a + b) * Fraction(112, 100)),
    ]
    text, value = rng.choice(cases)
    return (text, value) if Fraction(1, 10**60) < value < 10**60 and len(text) < 3_000 else (left, a)


def listed(rng: random.Random) -> Case:
    """A function of a list such as a task's result that was put in, numbers as JSON or as text."""
    numbers = [Fraction(rng.randrange(1, 10**7), rng.choice([1, 10, 100])) for _ in range(rng.randrange(1, 40))]
    plain = [int(n) if n.denominator == 1 else float(n) for n in numbers]
    written = ", ".join(rng.choice([f"{n}", f'"{n:,}"', f"'{n}'"]) for n in plain)
    ordered, count = sorted(numbers), len(numbers)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    cases: list[Case] = [
        (f"max([{written}])", max(numbers)),
        (f"min([{written}])", min(numbers)),
        (f"sum([{written}])", sum(numbers, Fraction())),
        (f"mean([{written}])", sum(numbers, Fraction()) / count),
        (f"average([{written}])", sum(numbers, Fraction()) / count),
        (f"median([{written}])", middle),
        (f"len([{written}])", Fraction(count)),
        (f"max([{written}]) / min([{written}])", max(numbers) / min(numbers)),
        (f"sum([{written}]) / len([{written}])", sum(numbers, Fraction()) / count),
    ]
    return rng.choice(cases)


@pytest.mark.parametrize("family", [whole, positive, listed])
@pytest.mark.parametrize("part", range(2))
def test_results_are_those_of_fractions(family: Callable[[random.Random], Case], part: int) -> None:
    rng = random.Random(SEED + part)
    cases: dict[str, Fraction] = {}
    while len(cases) < EACH:
        cases.update([family(rng)])
    for text, exact in cases.items():
        value = evaluate(text)
        if family is whole:
            assert isinstance(value, int), text
            assert value == exact, text
        else:
            assert math.isclose(Fraction(value), exact, rel_tol=1e-12), text


FUNCTIONS: dict[str, Callable[[Decimal], Decimal]] = {
    "sqrt": Decimal.sqrt,
    "ln": Decimal.ln,
    "log": Decimal.ln,
    "log10": Decimal.log10,
    "exp": Decimal.exp,
    "floor": lambda number: number.to_integral_value("ROUND_FLOOR"),
    "ceil": lambda number: number.to_integral_value("ROUND_CEILING"),
    "round": lambda number: number.to_integral_value("ROUND_HALF_EVEN"),
    "abs": abs,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_decimal(name: str) -> None:
    rng = random.Random(f"{SEED} {name}")
    with localcontext() as context:
        context.prec = 60
        for _ in range(30):
            number = Decimal(rng.randrange(2_000, 600_000)).scaleb(-3)
            exact = FUNCTIONS[name](number)
            assert math.isclose(Decimal(evaluate(f"{name}({number})")), exact, rel_tol=1e-12), number
            power = Decimal(rng.randrange(-300, 300)).scaleb(-2)
            value = evaluate(f"{number} ** ({power})")
            assert math.isclose(Decimal(value), number**power, rel_tol=1e-12), (number, power)
