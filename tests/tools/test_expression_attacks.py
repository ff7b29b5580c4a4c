"""`tools.expression` under attack: texts that would run code, or take for ever, or fill the memory."""

import json
import subprocess
from typing import Any

import pytest

from tests.support.prepared_python import prepared
from tools.expression import MAX_TOKENS, ExpressionError, evaluate

DEEP = 5_000

TOO_MUCH_WORK = [
    *("9**9**9", "9^9^9", "10**10**10", "2**2**2**2**2**2", "9**(9**(9**9))", "(9**9)**(9**9)", "-9**9**9"),
    *("(-9)**999999999", "2**10001", "2**99999 * 2**99999", "3**9**9 % 7", "1.0000001**10**400", "2.0**5000"),
    *("pow(9, 10**9)", "pow(10**1000, 10**1000)", "pow(pow(9, 9), pow(9, 9))", "pow(2, pow(2, 64))", "9**1e9"),
    *("1<<10**9", "1<<1<<30", "1 << 99999999999", "1 >> -1", "(1<<9)<<(1<<9)", "~0 << 99", "1 <<= 9"),
    *("factorial(10**7)", "factorial(1001)", "factorial(factorial(20))", "factorial(10**1000)", "factorial(1e9)"),
    *("factorial(999)**999", "factorial(1000) * factorial(1000)", "mean(factorial(1000), factorial(1e10))"),
    *("10**3000 * 10**3000", "*".join(["10**1000"] * 20), "*".join(["9"] * 5_000), "**".join(["9"] * 900)),
    *("1e308 * 10", "1e308 + 1e308", "-1e999", "1e999999999", "1e308 // 1e-10", "1e400 - 1e400", "1e999 / 1e999"),
    *("exp(10**4)", "exp(exp(exp(9)))", "10**400 * 1.5", "10**400 / 3", "sqrt(10**700)", "sin(10**400)", "tan(1e999)"),
    *("round(5, 10**9)", "round(5, -10**9)", "round(8,849)", "round(10**400 + 0.5)", "floor(10**400 * 1.0)"),
    *("sum(10**400, 0.5)", "mean([10**400, 0.5])", "median(10**400, 0.5)", "sum([1e308, 1e308])", "max(1e999)"),
    *("[1]*10**9", "[1] * 10**9", "[0]*9**9**9", "max([1]*10**9)", "sum([[1]*10**5]*10**5)", "10**9*[1]", "(1,)*10**9"),
    *("min([1]*9**9, 1)", "len([1]*10**9)", "len([[1]*9]*9)", "sum([1] + [2])", "max([1] * 2)", "sum([[1]] * 9)"),
    *("range(10**18)", "sum(range(10**10))", "max(range(10**12))", "list(range(10**9))", "len(range(10**9))"),
    *("sum(i for i in range(10**9))", "[0 for i in range(10**9)]", "max([i for i in range(9**9)])", "sum(1,)(2)"),
    *("'a'*10**9", '"a"*10**9', "10**9*'a'", "b'a'*10**9", "('a',)*10**9", "max('a'*10**9)", "len('a'*10**9)"),
    *("max('9' * 9**9**9)", "'9'**9", "max('9'**'9'**'9')", "len('" + "9" * 2_000 + "')", "max('1' '2')"),
]
TOO_LONG_OR_DEEP = [
    *("(" * 10_000 + "1" + ")" * 10_000, "(" * DEEP + ")" * DEEP, "[" * DEEP + "]" * DEEP, "(" * 150 + "1" + ")" * 150),
    *("sqrt(" * 120 + "1" + ")" * 120, "max([" * 60 + "1" + "])" * 60, "max(1, " * 120 + "1" + ")" * 120),
    *("[" * 99, "(" * 100, "(1" * 400, "[[" * 40 + "1" + "]]" * 40, "((((", "]" * DEEP, ")" * 9_999, "([)]" * 900),
    *("-" * 9_999 + "1", "-" * 500 + "1", "- " * 1_990 + "1", "+-" * 900 + "1", "abs(-" * 120 + "1" + ")" * 120),
    *("2**" * 300 + "1", "2^" * 990 + "1", "2**-" * 600 + "1", "1-(" * 120 + "1" + ")" * 120, "(" * 99 + "-" * 1_500),
    *(
        "1+" * DEEP + "1",
        "1," * DEEP,
        "sum([" + "1," * 3_000 + "])",
        "max(" + "1, " * 3_000 + ")",
        "%" * 9_999,
        "e" * 9_999,
    ),
    *("9" * 10_000, "9" * 1_001, "1." + "0" * 9_000, "1e" + "9" * 5_000, "0." + "3" * 1_500, "1e-" + "9" * 1_500),
    *("1_" * 4_999 + "x", "1,000" * 2_000, "1,000" + ",000" * 2_400, "max(1" + ",000" * 2_400 + ")", "of " * 3_000),
    *("1 " * 1_000_000, "a" * 1_000_000, "(" * 1_000_000, "9" * 1_000_000, "\n" * 1_000_000, "'" * 1_000_000),
    *("é" * 10_001, "\U0001f600" * 10_001, "1" + " " * 10_000, "max('" + "9" * 9_000 + "')", "max(" + "'9'" * 3_000),
]
UNDEFINED = [
    *("1 / 0", "1 // 0", "1 % 0", "1.5 % 0", "1.5 // 0", "0 ** -1", "0.0 ** -1", "1 / (2 - 2)", "5 / 0%", "pow(0, -1)"),
    *("sqrt(-1)", "(-8) ** (1/3)", "(-1) ** 0.5", "log(0)", "log(8, 1)", "log(-1)", "log10(0)", "log2(-2)", "ln(0)"),
    *("log(0, 0)", "log(1, 0)", "factorial(-1)", "factorial(2.5)", "factorial(pi)", "gcd(1.5, 2)", "gcd(pi)"),
    *("round(1.5, 0.5)", "round(1, 2, 3)", "max()", "min([])", "sum()", "mean([])", "mean()", "median([])", "len()"),
    *("average()", "gcd()", "sqrt()", "sqrt(1, 2)", "pow(1)", "pow(1, 2, 3)", "abs(1, 2)", "exp(1, 2)", "pi()", "e(1)"),
    *("[[1], 2]", "[]", "[1] + [2]", "[1] - [1]", "-[1]", "[1] ** 2", "[1] % 2", "2 ** [1]", "max([[1, 2], [3]])"),
    *("sqrt([4])", "round([1], 1)", "pow([1, 2])", "pow(*[1, 2])", "max([1], [[2]])", "len([[]])", "factorial([5])"),
]
CODE = [
    *("__import__('os')", "__import__('os').system('true')", "__import__", "__builtins__", "__name__", "__debug__"),
    *("eval('1')", "exec('1')", "compile('1', '', 'eval')", "open('/etc/passwd')", "open(0)", "print(1)", "input()"),
    *("globals()", "locals()", "vars()", "dir()", "type(1)", "object()", "super()", "id(1)", "hash(1)", "help()"),
    *("breakpoint()", "exit()", "quit()", "getattr(1, 'real')", "setattr(pi, 'a', 1)", "iter([1])", "next(iter([1]))"),
    *("map(abs, [1])", "filter(abs, [1])", "zip([1])", "sorted([1])", "reversed([1])", "any([1])", "all([1])"),
    *(
        "chr(65)",
        "ord('a')",
        "hex(1)",
        "bin(1)",
        "str(1)",
        "repr(1)",
        "int('9' * 10**9)",
        "float('inf')",
        "float('nan')",
    ),
    *("complex(1, 1)", "bytes(10**10)", "bytearray(10**10)", "memoryview(b'1')", "format(1, '9999999999')", "slice(1)"),
    *(
        "os",
        "sys",
        "os.system",
        "math.pi",
        "math.factorial(5)",
        "np.pi",
        "ast.parse(1)",
        "_apply(1)",
        "_FUNCTIONS",
        "_",
    ),
    *(
        "(1).__class__",
        "().__class__.__bases__[0].__subclasses__()",
        "''.__class__.__mro__",
        "[].__class__",
        "{}.get(1)",
    ),
    *("sqrt.__globals__", "sqrt.__self__", "max.__init__.__globals__['sys']", "max.__call__(1)", "abs.__name__"),
    *(
        "pi.real",
        "5 .real",
        "1..real",
        "1.0.hex()",
        "e.hex()",
        "pi.as_integer_ratio()",
        "1 .bit_length()",
        "[].append(1)",
    ),
    *(
        "(2).__pow__(10**9)",
        "[].__len__()",
        "'x'.zfill(10**9)",
        "'x'.ljust(10**9)",
        "'a'.__mul__(10**9)",
        "''.join([])",
    ),
    *("[x for x in [1]]", "{x for x in [1]}", "{x: x for x in [1]}", "(x for x in [1])", "max(1 for x in [1])"),
    *(
        "max(x for x in [1])",
        "[*[1]]",
        "max(*[1, 2])",
        "max(**{'a': 1})",
        "*1",
        "**1",
        "*[1]",
        "{1: 2}",
        "{1, 2}",
        "{}",
    ),
    *("lambda: 1", "(lambda: 1)()", "(lambda f: f(f))(lambda f: f(f))", "max(lambda: 1)", "(x := 5)", "x := 5"),
    *(
        "max(x := 5)",
        "x = 1",
        "x += 1",
        "1; 2",
        "1\n2",
        "1 # 2",
        "1 \\\n + 2",
        "x: int = 1",
        "a == b",
        "1 == 1",
        "1 != 1",
    ),
    *(
        "max(key=1)",
        "max(1, key=abs)",
        "round(number=1)",
        "max(default=1)",
        "1 if 1 else 2",
        "1if 1else 2",
        "1 ? 2 : 3",
    ),
    *(
        "1 < 2",
        "1 <= 2",
        "1 in [1]",
        "1 is 1",
        "1 and 2",
        "1 or 1/0",
        "not 1",
        "~1",
        "1 | 2",
        "1 & 2",
        "1 @ 2",
        "1 => 2",
    ),
    *(
        "def f(): pass",
        "class A: pass",
        "while 1: pass",
        "for i in [1]: pass",
        "if 1: 1",
        "with 1: 1",
        "try: 1\nfinally: 1",
    ),
    *(
        "return 1",
        "yield 1",
        "(yield)",
        "(yield from [1])",
        "await 1",
        "async lambda: 1",
        "import os",
        "from os import path",
    ),
    *(
        "global x",
        "del pi",
        "assert 1",
        "raise 1",
        "pass",
        "break",
        "@x",
        "match 1:\n case 1: 1",
        "type X = int",
        "...",
    ),
]
STRINGS = [
    *("f'{9**9}'", "f'{9**9**9}'", "f\"{__import__('os')}\"", "f'{1:999999999}'", "f'{1!r:>{10**9}}'", "rf'{1}'"),
    *("f'''{1}'''", "'a'", '"a"', "b'a'", "u'1'", "r'1'", "'1'", "'1' '2'", "'1' + '2'", "'1' * 9", '"""1"""', "`1`"),
    *("'%0999999999d' % 1", "'%c' % 99", "'%s' % (1,)", "b'%d' % 1", "'{}'.format(1)", "'{0.__class__}'.format(1)"),
    *("'{:>999999999}'.format(1)", "'\\x41'", "'\\N{DIGIT ONE}'", "'\ud800'", "'\x00'", "max('\\x31')", "max('1e')"),
    *(
        "max(f'{1}')",
        "max(b'1')",
        "max('0x10')",
        "max('1j')",
        "max('inf')",
        "max('nan')",
        "max(' 1 ' '2')",
        "max('1+1')",
    ),
    *("max('__import__(\"os\")')", "max('pi')", "max('5)", "max(5')", "max(\"5')", "sum(['1', 'a'])", "max('--5')"),
]
LOOK_ALIKES = [
    *("１２", "１＋１", "９＊＊９", "１.５", "٣ + ٤", "३ + ४", "𝟗**𝟗", "5²", "x⁹", "½", "Ⅷ", "①", "五", "1٫5", "1٬000"),
    *(
        "ｓｑｒｔ(4)",
        "ｍａｘ(1)",
        "𝐬𝐪𝐫𝐭(4)",
        "𝑒",
        "ℯ",
        "ⅇ",
        "ｅ",
        "е + 1",
        "рі",
        "𝜋",
        "П",
        "ѕum(1)",
        "ſum(1)",
        "ﬂoor(1)",
    ),
    *(
        "mаx(1)",
        "ｌen([1])",
        "Kelvin",
        "pi\u0301",
        "e\u0301",
        "ℼ",
        "max（1）",
        "［1］",
        "（1）",
        "1，2",
        "1’000",
        "1'000",
    ),
    *(
        "1–2",
        "1—2",
        "1‐2",
        "1－2",
        "1﹣2",
        "1∕2",
        "1⁄2",
        "6∗7",
        "6✕7",
        "6✖7",
        "2⁺3",
        "√4",
        "∛8",
        "∑1",
        "∞",
        "5‰",
        "5％",
    ),
    *(
        "1\u200b0",
        "1\u200d0",
        "1\u20600",
        "\ufeff1",
        "1\u00ad0",
        "1\u202e2",
        "\u20661\u2069",
        "1\u180e2",
        "m\u200bax(1)",
    ),
    *(
        "\x00",
        "1\x002",
        "1\x08",
        "1\x7f2",
        "\x1b[31m1",
        "\x9b1m",
        "1\x852",
        "1\u20282",
        "\ud800",
        "1\udfff",
        "\U000e0031",
    ),
    *("＿＿import＿＿('os')", "__ｉｍｐｏｒｔ__('os')", "𝓮𝓿𝓪𝓵('1')", "ｅｖａｌ('1')", "ﬁlter(1)", "ªbs(1)", "ℎex(1)"),
]
NO_EXPRESSION = [
    *(
        "",
        "  \n ",
        "()",
        "3 +",
        "* 3",
        "/ 3",
        "% 5",
        "2 3",
        "2××3",
        "2 * * 3",
        "2 */ 3",
        "2(3)",
        "(1)(2)",
        "pi(2)",
        "2 pi",
    ),
    *("sqrt", "sqrt 4", "max[0]", "(1)[0]", "[1][0]", "[1, 2][0:1]", "5!", "5!!", "1)", "(1", "[1", "1]", "(1]", "[1)"),
    *(
        "0x10",
        "0b1",
        "0o7",
        "007",
        "1j",
        "1__0",
        "1_",
        "_1",
        "1.2.3",
        "1..2",
        "1e",
        "1e+",
        ".e5",
        ".",
        "..",
        "1.e.5",
        "5e5e5",
    ),
    *(
        "nan",
        "inf",
        "infinity",
        "NaN",
        "None",
        "True",
        "True + 1",
        "null",
        "undefined",
        "height",
        "$1 + 1",
        "$1",
        "${2}",
    ),
    *("(5 + 7)%", "of 5", "5 of 5", "% of 5", "5% of", "5%%", ",", "1,", ",1", "1,,2", "max(,)", "max(1,,2)", "[,]"),
    *(
        "1 2 3",
        "1 + + ",
        "=",
        "1 =",
        "==",
        "1:2",
        "a->b",
        "#",
        "\\",
        "?",
        "@",
        "&",
        "|",
        "~",
        "!",
        ";",
        "{",
        "}",
        "<",
        ">",
    ),
]
ATTACKS = [
    *(*TOO_MUCH_WORK, *TOO_LONG_OR_DEEP, *UNDEFINED),
    *(*CODE, *STRINGS, *LOOK_ALIKES, *NO_EXPRESSION),
]
HEAVY = [
    "+".join(["1"] * (MAX_TOKENS // 2)),
    "+".join(["9**3000"] * 490),
    "-".join(["factorial(1000)"] * 390),
    "+".join(["factorial(1000) // factorial(999)"] * 190),
    "*".join(["2**990"] * 10),
    "%".join(["9**3000"] * 490),
    "//".join(["9**3000"] * 490),
    "**".join(["1"] * 90) + " ** 10**3000",
    "1 ** (10**3000)",
    "(-1) ** (10**3000)",
    "gcd(" + ", ".join(["9**3000", "7**3000"] * 240) + ")",
    "median(" + ", ".join(["9**3000", "7**3000"] * 240) + ")",
    "mean([" + ", ".join(["9**3000"] * 480) + "])",
    "max([" + ", ".join(["9" * 9] * 900) + "])",
    "max([" + ", ".join(["'9,999'"] * 900) + "])",
    "sum([" + ",".join(["1"] * 990) + "])",
    "(" * 98 + "1" + ")" * 98,
    "-" * 90 + "1",
    "max(1, " * 90 + "1" + ")" * 90,
    "round(" + "9" * 1_000 + ", -20) // 7 - floor(log(" + "9" * 1_000 + "))",
    "1" + " " * 9_998,
]
"""As much work as the bounds allow."""

CHILD = """
import json, sys, tracemalloc
from tools.expression import ExpressionError, evaluate

evaluate("(1 + 2) ** 3")
texts = json.load(sys.stdin)
events = set()
sys.addaudithook(lambda event, _: events.add(event))
peaks = []
for text in texts:
    tracemalloc.start()
    try:
        evaluate(text)
    except ExpressionError:
        pass
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
json.dump({"events": sorted(events), "peaks": peaks}, sys.stdout)
"""


def measure(texts: list[str]) -> dict[str, Any]:
    """What happened in a process that evaluated the texts: audit events, and for each text the bytes it took."""
    command = prepared("-c", CHILD)
    child = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(child.stdout)
    return measured


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) == len(set(ATTACKS))
    assert len(ATTACKS) >= 300


def refusal(text: str) -> str:
    """What is said of it, or its value."""
    try:
        return f"It is {evaluate(text)!r}."
    except ExpressionError as error:
        return str(error)


def is_a_short_message(text: str, message: str) -> bool:
    begins = message.startswith(f"Can't evaluate {repr(text)[:30]}"[:-1])
    return begins and "allowed" in message.lower() and len(message) < 500 and message.isprintable()


def test_every_attack_ends_in_a_short_message_of_what_is_allowed() -> None:
    said = {text: refusal(text) for text in ATTACKS}
    assert {text: message for text, message in said.items() if not is_a_short_message(text, message)} == {}


@pytest.mark.parametrize("text", HEAVY, ids=range(len(HEAVY)))
def test_what_the_bounds_allow_has_a_value(text: str) -> None:
    assert isinstance(evaluate(text), int | float)


def test_no_attack_runs_code_or_takes_much_memory() -> None:
    result = measure([*ATTACKS, *HEAVY])
    # Python reports whatever reaches out of it: imports, files, processes, and `exec` for code that is run.
    assert set(result["events"]) <= {"compile"}
    assert max(result["peaks"]) < 50_000_000
