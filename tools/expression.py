"""Arithmetic as people and models write it, evaluated without `eval`.

The text is read token by token, and whatever isn't arithmetic is refused; the ways in which people write numbers and
operators (`8,849`, `12%`, `6 × 7`, `2^3`) become Python's. Then the syntax tree is walked, with bounds that are
checked before each operation, so that no text takes long.
"""

import ast
import math
import operator
import re
from collections.abc import Callable
from statistics import mean, median_high, median_low
from typing import Any

MAX_CHARACTERS = 10_000
MAX_TOKENS = 2_000
MAX_DEPTH = 100
MAX_DIGITS = 1_000
MAX_BITS = 10_000
MAX_FACTORIAL = 1_000
MAX_PLACES = 20

ALLOWED = "Allowed are numbers (8849, 8,849, 1.5e3, 12%), + - * / // % ** ^, parentheses, {}."
INCOMPLETE = "it is not a complete expression."
TOO_LONG = f"it has {{:,}} characters; at most {MAX_CHARACTERS:,} are allowed."
TOO_MANY = f"it has too many parts; at most {MAX_TOKENS:,} numbers, names and operators are allowed."
TOO_DEEP = f"it is nested too deeply; at most {MAX_DEPTH} levels are allowed."
TOO_MANY_DIGITS = f"a number has {{:,}} digits; at most {MAX_DIGITS:,} are allowed."
ODD_COMMA = "a comma is only allowed to group thousands (8,849) and between arguments; decimals take a point."
ODD_ZERO = "{} starts with 0, which is not allowed. Between arguments a comma separates: write 1050 for 1,050 there."
ODD_GROUP = "{} may be one number or several. Between arguments thousands are not allowed to be grouped: write 1200."
ODD_LIST = "a list is only allowed as the whole, and as an argument of min, max, sum, mean, median, len and gcd."
WRONG_COUNT = (
    "{} of {} numbers is not defined; allowed are {}. Between arguments a comma separates: write 8849 for 8,849."
)
FAILURES: dict[type[Exception], str] = {
    ZeroDivisionError: "{} divides by zero; any other divisor is allowed.",
    OverflowError: "{} is too large; allowed are whole numbers of 3,000 digits, others up to 1.8e308, factorial(1000).",
    ValueError: "{} is not defined; allowed are operations that have a real number as their result.",
    TypeError: "{} is not defined; only whole numbers are allowed there.",
}

Number = int | float


class ExpressionError(ValueError):
    """The expression has no value here: it goes beyond a bound, or isn't defined. The message says why."""


class UnreadableError(ExpressionError):
    """The text is no arithmetic expression; it may be a problem in words."""


def evaluate(expression: str) -> Number | list[Number]:
    """The value of an arithmetic expression; of a list of them, `[6 / 3, 5]`, their values.

    Whole numbers stay exact, also when a division leaves no remainder (`6 / 3` is the int 2). Beyond Python's notation:

    - `8,849` groups thousands, but in a call's arguments and in lists a comma separates: `max(1,200)` is 200. Where
      it could be either, as in `max(1,200, 3)`, it is refused. Numbers may be in quotes there: `max(["1,200", "3"])`.
    - `^` is a power, `×` and `·` multiply, `÷` divides, `−` is a minus, `π` is pi.
    - `%` after a number is a percentage (`12%` is 0.12, `12% of 50` is 6), before an operand it is the remainder
      (`7 % 3` is 1). Before a sign it could be both: it is the remainder where `%` has space before it and the sign
      stands at its operand (`7 % -3`), else a percentage (`12% - 3`, `100%-12%`).

    Raises:
        UnreadableError: The text is no arithmetic expression.
        ExpressionError: It is one, but beyond the bounds (`9**9**9`) or not defined (`1 / 0`, `sqrt(-1)`).
    """
    try:
        tree = ast.parse(_translate(expression), mode="eval").body
        return [_value(item) for item in tree.elts] if isinstance(tree, ast.List) and tree.elts else _value(tree)
    except ExpressionError as error:
        reason, kind = str(error), type(error)
    except SyntaxError:
        reason, kind = str(_unreadable(INCOMPLETE)), UnreadableError
    except (RecursionError, MemoryError, SystemError):  # so Python's parser reports too deep nesting
        reason, kind = TOO_DEEP, ExpressionError
    raise kind(f"Can't evaluate {_short(expression)}: {reason}")


# --- reading

_GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9]{3})"
_GROUPED_ARGUMENT = re.compile(rf"({_GROUPED})(?:\.[0-9]++)?(\s*+,\s)?")
_OPERAND = re.compile(r"\s*+(?!of\b)[\w.(\[]")
_SIGNED_OPERAND = re.compile(r"\s*+[-+−][\w.(\[]")
_IN_PYTHON = {"^": "**", "×": "*", "·": "*", "÷": "/", "−": "-", "π": "pi"}


def _number(whole: str) -> str:
    return rf"(?:{whole}(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?+[0-9]++)?"


def _tokens(number: str, more: str = "") -> re.Pattern[str]:
    return re.compile(
        rf"(?P<space>\s++)|(?P<number>{number})(?![\w.])|(?P<name>[A-Za-z_][A-Za-z0-9_]*+|π)"
        rf"|(?P<operator>\*\*|//|[-+*/%^×·÷−])|(?P<open>[(\[])|(?P<close>[)\]])|(?P<comma>,){more}"
    )


_UNGROUPED = r"[0-9]++(?:_[0-9]++)*"
_ANY_NUMBER = _number(rf"(?:{_GROUPED}|{_UNGROUPED})")
_QUOTED = rf"|(?P<quoted>(?P<quote>[\"'])[-+−]?+{_ANY_NUMBER}(?P=quote))"
_TOKEN_IN_ARGUMENTS = _tokens(_number(_UNGROUPED), _QUOTED)
_TOKEN = _tokens(_ANY_NUMBER)


def _translate(text: str) -> str:
    """The expression in Python's notation: nothing but numbers, known names, operators, brackets and commas."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(TOO_LONG.format(len(text)))
    tokens: list[str] = []
    kind, position = "", 0
    commas_separate = [False]
    while position < len(text):
        found = (_TOKEN_IN_ARGUMENTS if commas_separate[-1] else _TOKEN).match(text, position)
        if not found:
            raise _unreadable(f"{_short(text[position:], 20)} is not arithmetic.")
        token, position = found[0], found.end()
        if found.lastgroup == "space":
            continue
        previous, kind = kind, str(found.lastgroup)
        match kind:
            case "number":
                if commas_separate[-1]:
                    _refuse_odd_group(text, found.start())
                token = _plain_number(token)
            case "quoted":
                number = token[1:-1].replace("−", "-")
                unsigned = number.lstrip("+-")
                token, kind = f"({number[: -len(unsigned)]}{_plain_number(unsigned)})", "number"
            case "name" if token == "of" and previous == "percentage":
                token = "*"
            case "operator" if token == "%" and previous == "number" and _is_percentage(text, position):
                token, kind = f"({tokens.pop()} / 100)", "percentage"
            case "name" | "operator":
                token = _IN_PYTHON.get(token, token.lower())
                if kind == "name" and token not in _CONSTANTS and token not in _FUNCTIONS:
                    raise _unreadable(f"{_short(found[0])} is not known.")
            case "open":
                commas_separate.append(commas_separate[-1] or token == "[" or previous == "name")
            case "close" if len(commas_separate) > 1:
                commas_separate.pop()
            case "comma" if not commas_separate[-1]:
                raise UnreadableError(ODD_COMMA)
        tokens.append(token)
        if len(tokens) > MAX_TOKENS:
            raise ExpressionError(TOO_MANY)
        if len(commas_separate) > MAX_DEPTH:
            raise ExpressionError(TOO_DEEP)
    return " ".join(tokens)


def _plain_number(token: str) -> str:
    number = token.replace(",", "").replace("_", "")
    if len(number) > MAX_DIGITS:
        raise ExpressionError(TOO_MANY_DIGITS.format(len(number)))
    if number[0] == "0" and number[1:2].isdigit():
        raise UnreadableError(ODD_ZERO.format(number))
    return number


def _refuse_odd_group(text: str, start: int) -> None:
    """Refuses `1,200` among arguments that other commas, with space behind them, separate."""
    grouped = _GROUPED_ARGUMENT.match(text, start)
    if grouped and (grouped[2] or re.search(r",\s\Z", text[max(0, start - 2) : start])):
        raise UnreadableError(ODD_GROUP.format(_short(grouped[1])))


def _is_percentage(text: str, end: int) -> bool:
    """Whether the `%` that ends there, behind a number, makes it a percentage (see `evaluate`)."""
    is_sign = text[end - 2].isspace() and _SIGNED_OPERAND.match(text, end)
    return not (is_sign or _OPERAND.match(text, end))


def _unreadable(what: str) -> UnreadableError:
    return UnreadableError(f"{what} {ALLOWED.format(', '.join([*_CONSTANTS, *_FUNCTIONS]))}")


def _short(value: str | Number, most: int = 40) -> str:
    """A value for a message."""
    if isinstance(value, str):
        return repr(value if len(value) <= most else f"{value[:most]}…")
    number = str(value)
    return number if len(number) <= most else f"{number[:most]}…"


# --- computing


def _value(node: ast.expr, depth: int = 0) -> Number:
    if depth > MAX_DEPTH:
        raise ExpressionError(TOO_DEEP)
    match node:
        case ast.Constant(value=math.inf):
            raise ExpressionError(FAILURES[OverflowError].format("a number"))
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=sign, operand=operand):
            return _apply(*_OPERATORS[type(sign)], _value(operand, depth + 1))
        case ast.BinOp():
            return _chain(node, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _call(name, arguments, depth + 1)
        case ast.List() | ast.Tuple():
            raise ExpressionError(ODD_LIST)
    raise _unreadable(INCOMPLETE)


def _chain(node: ast.expr, depth: int) -> Number:
    """Operations side by side, as in 1 + 2 + 3: in a loop, since a long sum is not deeply nested."""
    links = []
    while isinstance(node, ast.BinOp):
        links.append(node)
        node = node.left
    value = _value(node, depth)
    for link in reversed(links):
        value = _apply(*_OPERATORS[type(link.op)], value, _value(link.right, depth))
    return value


def _call(name: str, arguments: list[ast.expr], depth: int) -> Number:
    function, least, most = _FUNCTIONS[name]
    numbers: list[Number] = []
    for argument in arguments:
        if most > 2 and isinstance(argument, ast.List | ast.Tuple):
            numbers.extend(_value(item, depth) for item in argument.elts)
        else:
            numbers.append(_value(argument, depth))
    if not least <= len(numbers) <= most:
        allowed = f"{least} to {most:,}" if least < most else least
        raise ExpressionError(WRONG_COUNT.format(name, len(numbers), allowed))
    return _apply(name, function, *numbers)


def _apply(name: str, function: Callable[..., Any], *numbers: Number) -> Number:
    """The result of an operation; one whose result would be huge is to raise OverflowError before it computes."""
    try:
        result: Number = function(*numbers)
        if isinstance(result, complex):
            raise ValueError
        if result.bit_length() > MAX_BITS if isinstance(result, int) else not math.isfinite(result):
            raise OverflowError
    except tuple(FAILURES) as error:
        shown = [_short(number) for number in numbers[:5]]
        term = f"{name}({', '.join(shown)})" if name in _FUNCTIONS else f" {name} ".join(shown)
        raise ExpressionError(FAILURES[type(error)].format(term)) from None
    return result


# --- operations


def _bits(number: Number) -> int:
    return number.bit_length() if isinstance(number, int) else 0


def _at_most(most: int, number: Number) -> Any:
    if abs(number) > most:
        raise OverflowError
    return number


def _multiply(left: Number, right: Number) -> Number:
    _at_most(MAX_BITS + 1, _bits(left) + _bits(right))
    return left * right


def _divide(left: Number, right: Number) -> Number:
    is_exact = isinstance(left, int) and isinstance(right, int) and left % right == 0
    return left // right if is_exact else left / right


def _power(base: Number, exponent: Number) -> Any:
    if _bits(base) > 1 and exponent > 0:
        _at_most(MAX_BITS, (_bits(base) - 1) * exponent)
    return base**exponent


def _sum(numbers: tuple[Number, ...]) -> Number:
    return sum(numbers) if all(isinstance(number, int) for number in numbers) else math.fsum(numbers)


_CONSTANTS = {"pi": math.pi, "e": math.e}
_OPERATORS: dict[type[ast.AST], tuple[str, Callable[..., Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", _multiply),
    ast.Div: ("/", _divide),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", _power),
    ast.UAdd: ("+", operator.pos),
    ast.USub: ("-", operator.neg),
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    **{name: (getattr(math, name), 1, 1) for name in ("sqrt", "exp", "sin", "cos", "tan", "floor", "ceil")},
    **{name: (getattr(math, name), 1, 1) for name in ("log10", "log2")},
    "ln": (math.log, 1, 1),
    "log": (math.log, 1, 2),
    "abs": (abs, 1, 1),
    "round": (lambda number, places=0: round(number, _at_most(MAX_PLACES, places) or None), 1, 2),
    "factorial": (lambda number: math.factorial(_at_most(MAX_FACTORIAL, number)), 1, 1),
    "pow": (_power, 2, 2),
    "gcd": (math.gcd, 1, MAX_TOKENS),
    "min": (lambda *numbers: min(numbers), 1, MAX_TOKENS),
    "max": (lambda *numbers: max(numbers), 1, MAX_TOKENS),
    "sum": (lambda *numbers: _sum(numbers), 1, MAX_TOKENS),
    "mean": (lambda *numbers: _divide(_sum(numbers), len(numbers)), 1, MAX_TOKENS),
    "average": (lambda *numbers: _divide(_sum(numbers), len(numbers)), 1, MAX_TOKENS),
    "median": (lambda *numbers: mean((median_low(numbers), median_high(numbers))), 1, MAX_TOKENS),
    "len": (lambda *numbers: len(numbers), 1, MAX_TOKENS),
}
"""Each with the least and the most numbers that it takes."""
