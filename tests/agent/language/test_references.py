"""What `$1` in an argument stands for."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.language.references import (
    Reference,
    UnresolvedReferenceError,
    find_references,
    is_text,
    renumber,
    substitute,
)
from tests.agent.language.test_values import City, Place, Point

RESULTS = {
    1: {"price": 3.5, "name": "tea", "tags": ["hot", "green"], "unit price": 7, "it's": "odd"},
    2: ["zero", {"name": "one"}, ["deep"]],
    3: Place("K2", [8611.0, 8610.0]),
    4: City(name="Paris", people=2_100_000),
    5: '{"stock": [4, 5]}',
    6: "plain text",
    7: 42,
    8: Point(1.5, 2.5),
    9: None,
    10: True,
}


def from_results(results: Mapping[int, Any]) -> Callable[[Reference], Any]:
    return lambda reference: results[reference.task]


def put_in(value: Any) -> Any:
    """The planned argument with the results above put in."""
    return substitute(value, from_results(RESULTS))


def tasks_in(value: Any) -> list[int]:
    return [reference.task for reference in find_references(value)]


# --- finding


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("$1", [1]),
        ("${1}", [1]),
        ("$1 and $10", [1, 10]),
        ("$1$2", [1, 2]),
        ("${1}0", [1]),
        ("($3)", [3]),
        ("$1.price, $2[0].name", [1, 2]),
        ("${1.price}", [1]),
        ('$1["unit price"]', [1]),
        ("$x, $, US$ and 1$", []),
        ("nothing", []),
    ],
)
def test_a_dollar_sign_and_a_number_are_a_reference(text: str, tasks: list[int]) -> None:
    assert tasks_in(text) == tasks


def test_references_are_found_in_nested_arguments_in_the_order_of_the_text() -> None:
    assert tasks_in({"a": ["$3", {"b": "x $1"}], "c": 5, "d": None, "e": "$2 $3"}) == [3, 1, 2, 3]


def test_the_names_in_a_dict_are_no_references() -> None:
    assert tasks_in({"$1": "x"}) == []


def test_an_escaped_dollar_sign_is_no_reference() -> None:
    assert tasks_in(r"\$1 but $2") == [2]


@pytest.mark.parametrize("text", ["$100", "${100}", "$100.name", "$100[0]", 'x ${100["a b"]}'])
def test_a_reference_in_braces_or_with_a_path_or_alone_is_certain(text: str) -> None:
    (reference,) = find_references(text)
    assert reference.certain


def test_a_bare_reference_in_a_text_may_be_a_price() -> None:
    (reference,) = find_references("flights under $100 to Rome")
    assert not reference.certain


def test_a_number_too_long_for_a_task_is_no_reference() -> None:
    assert tasks_in("$1234567890123") == []


# --- typed values and text


@pytest.mark.parametrize("number", RESULTS)
@pytest.mark.parametrize("form", ["$%d", "${%d}"])
def test_an_argument_that_is_one_reference_is_the_result_itself(number: int, form: str) -> None:
    assert put_in(form % number) is RESULTS[number]


def test_typed_values_stand_inside_lists_and_dicts() -> None:
    assert put_in({"context": ["$7", "$2"], "n": 1}) == {"context": [42, RESULTS[2]], "n": 1}


@pytest.mark.parametrize(
    ("planned", "text"),
    [
        ("about $7.", "about 42."),
        ("$7$7", "4242"),
        ("${7}0", "420"),
        ("$6!", "plain text!"),
        (" $9", " None"),
        ("is $10", "is True"),
        ("list $2", 'list ["zero", {"name": "one"}, ["deep"]]'),
        ("at $3", 'at {"name": "K2", "heights": [8611.0, 8610.0]}'),
        ("in $4", 'in {"name": "Paris", "people": 2100000}'),
    ],
)
def test_in_a_longer_text_a_result_is_text(planned: str, text: str) -> None:
    assert put_in(planned) == text


def test_arguments_without_references_stay_as_they_are() -> None:
    planned = {"query": "K2", "n": 3, "flags": [True, None, 1.5]}
    assert put_in(planned) == planned


def test_an_escaped_reference_is_the_text_without_its_backslash() -> None:
    assert put_in(r"\$7") == "$7"
    assert put_in(r"costs \$7, not $7") == "costs $7, not 42"


def test_a_reference_that_the_lookup_disowns_stays_text() -> None:
    def refuse(reference: Reference) -> Any:
        raise LookupError(reference.text)

    assert substitute("under $100", refuse) == "under $100"


@pytest.mark.parametrize("price", ["US$7", "A$7", "NZ$7"])
def test_behind_a_currency_it_has_to_be_said_what_is_meant(price: str) -> None:
    with pytest.raises(UnresolvedReferenceError, match="sum of money"):
        put_in(f"tea at {price} a cup")
    assert put_in(f"tea at {price} a cup".replace("$", "\\$")) == f"tea at {price} a cup"
    assert put_in("tea at US${7}") == "tea at US42"
    assert put_in("BUS$7, plan_A$7") == "BUS42, plan_A42"


@pytest.mark.parametrize("price", ["$1.50", "$1,000", "$1,250,000.00"])
def test_a_price_with_cents_or_thousands_is_not_a_reference(price: str) -> None:
    for written in (price, "\\" + price):
        assert substitute(f"tea at {written} a cup", from_results({1: "apple"})) == f"tea at {price} a cup"


def test_references_in_a_list_are_no_price() -> None:
    assert tasks_in("[$1,$2, $3,4]") == [1, 2, 3]


# --- paths


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$1.price", 3.5),
        ("${1.price}", 3.5),
        ("${1}.price", 3.5),
        ("$1.tags[1]", "green"),
        ("$1.tags[-1]", "green"),
        ('$1["unit price"]', 7),
        ("$1['unit price']", 7),
        ("$2[1].name", "one"),
        ("$2[2][0]", "deep"),
        ("$3.name", "K2"),
        ("$3.heights[0]", 8611.0),
        ("$4.people", 2_100_000),
        ("$5.stock[1]", 5),
        ("$8.y", 2.5),
    ],
)
def test_a_path_leads_into_a_structured_result(path: str, value: Any) -> None:
    assert put_in(path) == value


def test_a_path_inside_a_text_is_text() -> None:
    assert put_in("$1.name at $1.price each") == "tea at 3.5 each"


def test_a_name_may_have_an_apostrophe() -> None:
    assert put_in('$1["it\'s"]') == "odd"


def test_a_full_stop_after_a_reference_to_text_is_punctuation() -> None:
    assert put_in("the height of $6.Then the rest") == "the height of plain text.Then the rest"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "$1.colour",
            "$1.colour does not exist: a result with the fields price, name, tags, unit price, it's has no .colour.",
        ),
        ("$2[7]", "$2[7] does not exist: a list of 3 has no [7]."),
        ("$2.name", "$2.name does not exist: a list of 3 has no .name."),
        ("$6.name", "$6.name does not exist: the text 'plain text' has no .name."),
        ("$7[0]", "$7[0] does not exist: the value 42 has no [0]."),
        ("$9.name", "$9.name does not exist: the value None has no .name."),
        ("x $1.tags[9]", "$1.tags[9] does not exist: a list of 2 has no [9]."),
        ("$4.mayor", "$4.mayor does not exist: a result with the fields name, people has no .mayor."),
    ],
)
def test_a_missing_part_is_named_with_what_there_is(path: str, message: str) -> None:
    with pytest.raises(UnresolvedReferenceError) as failure:
        put_in(path)
    assert str(failure.value) == message


def test_a_huge_result_is_not_recited_in_the_message() -> None:
    with pytest.raises(UnresolvedReferenceError) as failure:
        substitute("$1.x", from_results({1: {f"field{number}": number for number in range(10_000)}}))
    assert len(str(failure.value)) < 500


# --- results are data


@pytest.mark.parametrize("result", ["$2", "${2}", "$1", r"\$2", r"\1 \g<0>", "{0} %s", "", "\n3. join()"])
def test_a_result_is_put_in_as_it_is(result: str) -> None:
    results = {1: result, 2: "SECRET"}
    assert substitute("<$1>", from_results(results)) == f"<{result}>"
    assert substitute("$1", from_results(results)) == result


@given(first=st.text(), second=st.text())
def test_a_result_is_never_resolved_again(first: str, second: str) -> None:
    results = {1: f"{first}$2", 2: f"$1{second}"}
    assert substitute("a $1 b $2 c", from_results(results)) == f"a {results[1]} b {results[2]} c"


@given(st.lists(st.integers(1, 10**9 - 1)))
def test_every_number_stands_for_its_own_task(numbers: list[int]) -> None:
    planned = ",".join(f"${number}!" for number in numbers)
    expected = ",".join(f"<{number}>!" for number in numbers)
    assert substitute(planned, lambda reference: f"<{reference.task}>") == expected


def test_arguments_and_results_are_left_unchanged() -> None:
    planned = {"context": ["$1"]}
    result = {"a": [1]}
    substitute(planned, from_results({1: result}))
    assert planned == {"context": ["$1"]}
    assert result == {"a": [1]}


def test_a_result_of_endless_brackets_has_no_parts() -> None:
    with pytest.raises(UnresolvedReferenceError):
        substitute("$1[0]", from_results({1: "[" * 100_000}))


def test_a_result_that_only_looks_like_json_has_no_parts() -> None:
    with pytest.raises(UnresolvedReferenceError, match=r"has no \.x"):
        substitute("$1.x", from_results({1: "{not json}"}))


# --- renumbering


def test_references_follow_new_numbers() -> None:
    planned = {"a": "$1 and ${2} and $10", "b": ["$2.name[1]", 2], "c": r"\$1"}
    assert renumber(planned, {1: 4, 2: 11}) == {"a": "$4 and ${11} and $10", "b": ["$11.name[1]", 2], "c": r"\$1"}


def test_an_index_is_not_renumbered() -> None:
    assert renumber("$1[1]", {1: 7}) == "$7[1]"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters="$")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
"""JSON values without references."""

_REFERENCE = st.builds(
    lambda number, form, path: form % f"{number}{path}",
    st.integers(1, 12),
    st.sampled_from(["$%s", "${%s}", "x $%s", "$%s ", r"\$%s"]),
    st.sampled_from(["", ".name", "[0]", "[1].a", '["1 b"]']),
)
_PLANNED = st.lists(_REFERENCE | _JSON, max_size=6)


@given(_PLANNED, st.permutations(range(1, 13)))
def test_renumbering_can_be_undone(planned: Any, order: list[int]) -> None:
    there = dict(enumerate(order, start=1))
    back = {new: old for old, new in there.items()}
    assert renumber(renumber(planned, there), back) == planned


@given(_PLANNED, st.permutations(range(1, 13)))
def test_renumbering_changes_the_tasks_and_nothing_else(planned: Any, order: list[int]) -> None:
    numbers = dict(enumerate(order, start=1))
    before, after = list(find_references(planned)), list(find_references(renumber(planned, numbers)))
    assert [numbers.get(reference.task, reference.task) for reference in before] == tasks_in(renumber(planned, numbers))
    assert [(reference.path, reference.whole) for reference in before] == [
        (reference.path, reference.whole) for reference in after
    ]


@given(_JSON)
def test_what_has_no_references_is_not_changed_by_substitution(value: Any) -> None:
    assert substitute(value, from_results({})) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".price", [3, 5]),
        ("[:].price", [3, 5]),
        (".of.name", ["a", "b"]),
        ("[1].of.name", "b"),
        ("[*].price", [3, 5]),
        ("[].of.name", ["a", "b"]),
    ],
)
def test_a_name_leads_from_a_list_to_that_of_each_element(path: str, value: Any) -> None:
    offers = [{"price": 3, "of": {"name": "a"}}, '{"price": 5, "of": {"name": "b"}}']
    assert substitute(f"$1{path}", lambda _: offers) == value


@pytest.mark.parametrize("result", [[], [{"price": 3}, {}], [{"price": 3}, "text"], [3]])
def test_a_name_that_an_element_has_not_is_an_error(result: list[Any]) -> None:
    with pytest.raises(UnresolvedReferenceError, match=r"^\$1\.price does not exist: a list of \d has no \.price\.$"):
        substitute("$1.price", lambda _: result)


# --- references and prices


def reference(text: str) -> Reference:
    (found,) = find_references(text)
    return found


def test_a_price_in_a_text_is_not_a_reference() -> None:
    assert is_text(reference("under $100"), last=3)


@pytest.mark.parametrize("text", ["$100", "under ${100}", "the $100.name", "the $100[0]"])
def test_what_can_only_be_a_reference_is_one(text: str) -> None:
    assert not is_text(reference(text), last=3)


def test_a_number_among_those_of_the_plan_is_a_reference() -> None:
    assert not is_text(reference("under $2"), last=3)


def test_a_price_of_nothing_is_not_a_reference() -> None:
    assert is_text(reference("for $0 each"), last=3)


# --- calls as text


@pytest.mark.parametrize("text", ["the ${6}.output", "the $6.output", "$7[0] of", "x $1.tags[1].name", "(${7}.a.b)"])
def test_a_path_that_leads_nowhere_is_never_left_standing(text: str) -> None:
    with pytest.raises(UnresolvedReferenceError):
        put_in(text)


def test_a_path_may_be_the_end_of_a_longer_name() -> None:
    assert put_in("report_$7.pdf and https://$7.org/a") == "report_42.pdf and https://42.org/a"


@pytest.mark.parametrize(
    "text",
    [
        *("$1[?x]", "of $1.tags[0:1]", "${1}.tags[?(@.x)]", "$2.[0]", "$1.tags.0", "$2.*.name", "$2..name"),
        *("$1->name", "the $1::name", "$1|name", "$1 of $2/name", "$5|stock", "$3->name"),
    ],
)
def test_what_is_left_over_of_a_reference_fails(text: str) -> None:
    with pytest.raises(UnresolvedReferenceError, match="no slices and no filters"):
        put_in(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://k.org/$7/height", "https://k.org/42/height"),
        ("a|$7|b", "a|42|b"),
        ("$1.name->x", "tea->x"),
        ("$1.tags/day", "[hot, green]/day"),
        ("$7..50", "42..50"),
    ],
)
def test_behind_a_text_or_a_number_it_is_text(text: str, meant: str) -> None:
    assert put_in(text) == meant
