"""`tools.expression`: how arithmetic is read, and that nothing else than arithmetic gets through."""

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import expression
from tools.expression import MAX_BITS, MAX_TOKENS, ExpressionError, UnreadableError, evaluate


def check(text: str, expected: float) -> None:
    """The value and its type; a float up to the last digits."""
    value = evaluate(text)
    assert type(value) is type(expected)
    assert value == (expected if isinstance(expected, int) else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("((3*(4+5)/0.5)+3245) + 8", 3307.0),
        ("32/4.23", 32 / 4.23),
        ("8849 - 8611", 238),
        ("7 // 2 + 7 % 4", 6),
        ("-2**2", -4),
        ("2**3**2", 512),
        ("2**-1", 0.5),
        ("- - +3", 3),
        ("1 - 2 - 3", -4),
        ("100 / 10 / 5", 2),
        (".5 + 5. + 1e3 + 1.5E-1", 1005.65),
        ("1\n  + 2", 3),
        ("\t3\u00a0× 4 ", 12),
    ],
)
def test_arithmetic_has_pythons_precedence(text: str, expected: float) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 / 3", 2),
        ("7 / 2", 3.5),
        ("10**30 / 10", 10**29),
        ("10**400 // 3", 10**400 // 3),
        ("factorial(100) / factorial(98)", 9900),
        ("sum([10**20, 1])", 10**20 + 1),
        ("mean(10**20, 10**20 + 2)", 10**20 + 1),
        ("median([10**20, 10**20 + 2])", 10**20 + 1),
        ("2**9999 - 2**9999", 0),
    ],
)
def test_whole_numbers_stay_exact(text: str, expected: float) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8,849 - 8,611", 238),
        ("1,234,567.5", 1234567.5),
        ("(1,200)", 1200),
        ("-1,200 * 2", -2400),
        ("1_000", 1000),
        ("max(1,200)", 200),
        ("max(1_200, 3)", 1200),
        ("sum([1,200])", 201),
        ("sum((1,200))", 201),
        ("max((1,200), 2)", 200),
        ("sum([1, 2], 3)", 6),
        ("max(1,200) + 1,200", 1400),
        ('max(["1,200", "3,400.5"])', 3400.5),
        ("sum(['-5', \"−6\", '+1_000'])", 989),
        ("max([{}])".format(", ".join(['"1,200"'] * 3)), 1200),
        ("min(1, 2,)", 1),
    ],
)
def test_a_comma_groups_thousands_but_separates_arguments(text: str, expected: float) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    "text", ["1, 200", "(1, 200)", "8,84", "1,2345", "1234,567", "1,200,34", "3,5 + 1", "0,500", "007", "max(1,050)"]
)
def test_a_comma_or_a_zero_that_may_mean_something_else_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError, match="comma"):
        evaluate(text)


@pytest.mark.parametrize("text", ["max(1,200, 3)", "max(3, 1,200)", "sum([1,200, 3,400])", "max(1,200.5,\n3)"])
def test_thousands_grouped_among_arguments_are_refused_and_never_guessed(text: str) -> None:
    with pytest.raises(UnreadableError, match="'1,200' may be one number or several"):
        evaluate(text)


@pytest.mark.parametrize(
    "text", ['"5" + 1', "max('x')", "max('5 m')", 'max("1" "2")', "max('')", "max('5", "max('007')"]
)
def test_only_plain_numbers_may_be_in_quotes_and_only_among_arguments(text: str) -> None:
    with pytest.raises(UnreadableError):
        evaluate(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12%", 0.12),
        ("12 %", 0.12),
        ("100%", 1),
        ("-5%", -0.05),
        ("12.5% * 8", 1.0),
        ("200 * 12%", 24.0),
        ("12% of 50", 6.0),
        ("(1 + 10%) * 50", 55.0),
        ("100 - 12% of 50", 94.0),
        ("max(12%, 5%)", 0.12),
        ("4^50%", 2.0),
        ("12% - 3", -2.88),
        ("12% + 3", 3.12),
        ("12 % - 3", -2.88),
        ("12% -3", -2.88),
        ("100%-12%", 0.88),
        ("7 % 3", 1),
        ("7%3", 1),
        ("7% 3", 1),
        ("7 % (2 + 1)", 1),
        ("7 % pi", 7 % math.pi),
        ("7 % -3", -2),
        ("7 % −3", -2),
        ("-7 % 3", 2),
        ("(3 + 4) % 3", 1),
        ("12% % 5", 0.12),
    ],
)
def test_percent_is_a_percentage_without_an_operand_and_a_remainder_with_one(text: str, expected: float) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("6 × 7", 42), ("6 · 7", 42), ("42 ÷ 6", 7), ("6 − 7", -1), ("2^3^2", 512), ("−2^2", -4), ("2π", None)],
)
def test_typographic_operators(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(UnreadableError):
            evaluate(text)
    else:
        check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi", math.pi),
        ("2 * π", math.tau),
        ("e", math.e),
        ("sqrt(16)", 4.0),
        ("abs(-3)", 3),
        ("round(2.567, 1)", 2.6),
        ("round(2.6)", 3),
        ("round(1234, -2)", 1200),
        ("min(3, 1, 2)", 1),
        ("max([3, 1.5])", 3),
        ("sum(0.1, 0.2, 0.3)", 0.6),
        ("mean([1, 2])", 1.5),
        ("mean([1.5, 2.5])", 2.0),
        ("median(3, 1, 2)", 2),
        ("median([4, 1, 2, 3])", 2.5),
        ("average([1, 2])", 1.5),
        ("average(2, 4)", 3),
        ("sum([1, 2, 6]) / len([1, 2, 6])", 3),
        ("max([5984.7, 6400]) / min([5984.7, 6400])", 6400 / 5984.7),
        ("max([1, 2], min([3, 4]))", 3),
        ("(max([3, 1]) - min([3, 1])) / mean([3, 1])", 1),
        ("log(e)", 1.0),
        ("log(8, 2)", 3.0),
        ("log10(1000)", 3.0),
        ("log2(8)", 3.0),
        ("ln(e**2)", 2.0),
        ("exp(1)", math.e),
        ("sin(pi / 2)", 1.0),
        ("cos(0)", 1.0),
        ("tan(0)", 0.0),
        ("floor(2.7)", 2),
        ("ceil(2.1)", 3),
        ("factorial(5)", 120),
        ("pow(2, 10)", 1024),
        ("gcd(12, 18)", 6),
        ("gcd([12, 18, 27])", 3),
        ("SQRT(4) + Pi - PI", 2.0),
        ("sqrt (4)", 2.0),
    ],
)
def test_functions_and_constants(text: str, expected: float) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9**9**9", "'9**9**9': 9 ** 387420489 is too large; allowed are whole numbers of 3,000 digits"),
        ("factorial(10**7)", "factorial(10000000) is too large"),
        ("3 * (1 / (2 - 2))", "1 / 0 divides by zero"),
        ("sqrt(2 - 3)", "sqrt(-1) is not defined"),
        ("gcd(2.5, 5)", "only whole numbers are allowed"),
        ("1 + height", "'height' is not known. Allowed are numbers"),
        ("1 + 'a'", "\"'a'\" is not arithmetic. Allowed are numbers"),
        ("sqrt(1,200)", "sqrt of 2 numbers is not defined; allowed are 1. Between arguments a comma separates"),
        ("x" * 20_000, "20,000 characters; at most 10,000"),
    ],
)
def test_the_message_names_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text)
    assert reason in str(caught.value)


def test_what_can_be_words_is_told_from_what_is_beyond_the_bounds() -> None:
    for text in ("height of K2", "1 +", "", "1, 2"):
        with pytest.raises(UnreadableError):
            evaluate(text)
    for text in ("1 / 0", "9**9**9", "(" * 200, "x" * 20_000):
        with pytest.raises(ExpressionError) as caught:
            evaluate(text)
        assert not isinstance(caught.value, UnreadableError)


def test_a_long_sum_is_not_too_deep() -> None:
    assert evaluate("+".join(["1"] * (MAX_TOKENS // 2))) == MAX_TOKENS // 2
    assert evaluate(f"sum([{','.join('1' * 900)}])") == 900


def test_python_does_not_warn_about_what_is_read() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in ("1if 1else 2", "2(3)", "1[0]", "0or 1", "(1)(2)", "[1][1, 2]", "1e5max(1)", "'\\d'"):
            with pytest.raises(ExpressionError):
                evaluate(text)
    assert not caught


def test_math_within_tools_is_the_standard_library() -> None:
    assert vars(expression)["math"] is math
    assert math.tau == 2 * math.pi


# --- properties

INTEGERS = st.integers(-(10**6), 10**6)


def written(number: int) -> str:
    return f"({number})" if number < 0 else f"{number:,}"


def trees(leaves: st.SearchStrategy[int], operators: str) -> st.SearchStrategy[tuple[str, Fraction]]:
    """Expressions with their exact values."""

    def extend(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.tuples(children, st.sampled_from(operators), children).map(combine)

    def combine(parts: tuple[tuple[str, Fraction], str, tuple[str, Fraction]]) -> tuple[str, Fraction]:
        (left, a), symbol, (right, b) = parts
        value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else Fraction(0)}[symbol]
        return f"({left} {symbol} {right})", value

    return st.recursive(leaves.map(lambda number: (written(number), Fraction(number))), extend, max_leaves=12)


@given(trees(INTEGERS, "+-*"))
def test_whole_arithmetic_is_exact(tree: tuple[str, Fraction]) -> None:
    text, expected = tree
    value = evaluate(text)
    assert isinstance(value, int)
    assert value == expected


@given(trees(st.integers(1, 10**6), "+*/"))
def test_arithmetic_with_divisions_is_as_precise_as_floats_are(tree: tuple[str, Fraction]) -> None:
    text, expected = tree
    value = evaluate(text)
    assert math.isclose(Fraction(value), expected, rel_tol=1e-12)
    assert isinstance(value, float) or value == expected


@given(INTEGERS, INTEGERS.filter(bool))
def test_divisions_are_pythons(left: int, right: int) -> None:
    for written_left, written_right in ((left, right), (f"({left})", f"({right})")):
        assert evaluate(f"{written_left} / {written_right}") == left / right
        assert evaluate(f"{written_left} // {written_right}") == left // right
    assert evaluate(f"({left}) % {right}") == left % right


@given(st.floats(0, 1e300), st.floats(0, 1e300))
def test_floats_are_read_as_python_writes_them(left: float, right: float) -> None:
    assert evaluate(f"{left!r} + {right!r}") == left + right
    assert evaluate(f"{left!r} - -{right!r}") == left + right


@given(st.integers(0, 10**40))
def test_numbers_are_read_with_separators(number: int) -> None:
    assert evaluate(f"{number:,}") == evaluate(f"{number:_}") == evaluate(str(number)) == number


@given(st.lists(INTEGERS, min_size=1, max_size=20))
def test_lists_are_computed_like_arguments(numbers: list[int]) -> None:
    arguments = ", ".join(map(str, numbers))
    functions: dict[str, Callable[[list[int]], int]] = {"min": min, "max": max, "sum": sum}
    for name, function in functions.items():
        assert evaluate(f"{name}([{arguments}])") == evaluate(f"{name}({arguments})") == function(numbers)
    assert evaluate(f"mean([{arguments}])") == pytest.approx(float(Fraction(sum(numbers), len(numbers))))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[1 + 1, max(3, 4)]", [2, 4]),
        ("[8849]", [8849]),
        ("[785753 * 1.1, 12%]", [pytest.approx(864328.3), 0.12]),
    ],
)
def test_a_list_of_expressions_is_the_list_of_their_values(text: str, values: list[float]) -> None:
    assert evaluate(text) == values


NUMBERS = ["0", "1", "7", "1,200", "1_0", "1e308", "1e-308", ".5", "10**999", "π", "e", "5%"]
OTHERS = [*"+-*/%^()[],×−x'._ ", "//", "**", "of", "max(", "sqrt(", "factorial(", "round(", " - ", " % "]
PIECES = st.lists(st.sampled_from(NUMBERS) | st.sampled_from(OTHERS), max_size=30)


@given(st.text() | PIECES.map("".join) | PIECES.map(" ".join))
def test_every_text_is_a_finite_number_or_an_expression_error(text: str) -> None:
    with suppress(ExpressionError):
        value = evaluate(text)
        assert isinstance(value, int | float)
        assert value.bit_length() <= MAX_BITS if isinstance(value, int) else math.isfinite(value)
