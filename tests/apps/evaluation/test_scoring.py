"""Which answers count as right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.evaluation.scoring import check_scorer, final_part, kind_of, normalise, numbers_meant, options, score

FILMS = "Find a movie similar to Heat\nOptions:\nBatman\nBatman Returns\nThe Way of the Gun\n"


def is_correct(question: str, expected: str, answer: str) -> bool:
    """By the paper's rules."""
    return score(question, expected, answer).right


FRANCE = "France is a country in Europe with the capital Paris."


@pytest.mark.parametrize(
    ("scorer", "expected", "answer", "right", "why"),
    [
        ("paper", "Paris", FRANCE, False, "the words differ: it has 'Paris' in it, and says more"),
        ("exact", "Paris", "The capital is Paris.", False, "the words differ: it has 'Paris' in it, and says more"),
        ("exact", "Paris", "paris!", True, "the words are the same"),
        ("contains", "Paris", FRANCE, True, "it has 'Paris' in it"),
        ("contains", "Paris", "Comparison", False, "the words differ: it has no 'Paris'"),
        ("number", "100", "It is 108 m.", True, "its number is 108, within 10 % of 100"),
        ("number:0.01", "100", "It is 108 m.", False, "its number is 108, not within 1 % of 100"),
        ("number", "100", "It is high.", False, "it has no number"),
        ("number", "high", "100", False, "the right answer 'high' is no number"),
        ("paper", "yes", "No.", False, "its first word is 'no'"),
    ],
)
def test_a_scorer_says_why(scorer: str, expected: str, answer: str, right: bool, why: str) -> None:
    said = score("Which?", expected, answer, check_scorer(scorer))
    assert (said.right, said.why) == (right, why)


@pytest.mark.parametrize("name", ["", "best", "number:", "number:x", "number:-1", "exact:1"])
def test_a_scorer_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"There is no scorer '{name}'; there are paper, exact"):
        check_scorer(name)


@pytest.mark.parametrize(
    ("question", "expected", "kind"),
    [
        ("How deep?", "5931.80", "number"),
        ("How deep?", "5,931.8 m", "number"),
        ("How many?", "$1.2 million", "number"),
        ("How large?", "42310000", "number"),
        ("Is it?", "Yes", "yes or no"),
        ("Is it?", "no.", "yes or no"),
        (FILMS, "Batman Returns", "option"),
        ("Which street?", "200 West Street", "text"),
        ("Which mountain?", "K2", "text"),
        ("Which band?", "The The", "text"),
    ],
)
def test_the_kind_of_question_is_read_from_its_right_answer(question: str, expected: str, kind: str) -> None:
    assert kind_of(question, expected) == kind


@pytest.mark.parametrize(
    ("expected", "answer", "correct"),
    [
        ("100", "100", True),
        ("100", "110", True),
        ("100", "90.0", True),
        ("100", "110.1", False),
        ("100", "89.9", False),
        ("-50", "−52", True),
        ("-50", "50", False),
        ("0", "0.0", True),
        ("0", "0.1", False),
        ("5931.80", "The Mariana Trench would be 5,930.8 metres deeper.", True),
        ("5931.80", "It would be 12,619.6 m deep and the other 6,700.8 m. It would be 5,918.8 m deeper.", True),
        ("5931.80", "The difference is 5,918.8 m (12,619.6 m minus 6,700.8 m).", True),
        ("5931.80", "12,619.6 m and 6,700.8 m", False),
        ("1.71", "**1.7**\n\nThat is 8,266 / 4,837.", True),
        ("1.71", "**Aconcagua** rises to 7,309 m, **K2** falls to 8,266 m. The ratio would be 1.71.", True),
        ("42310000", "42.31 million square kilometres", True),
        ("42310000", "4.231e7", True),
        ("42310000", "4.2 × 10^7 km²", True),
        ("42310000", "42.31", False),
        ("200", "The 3rd one, with 201.", True),
        ("237", "K2 is 238 m lower.", True),
        ("237", "I don't know.", False),
        ("237", "", False),
        ("1", "1" + "0" * 400, False),
        ("1", "1e99999", False),
    ],
)
def test_a_number_is_right_within_ten_percent(expected: str, answer: str, correct: bool) -> None:
    assert is_correct("How much?", expected, answer) is correct


def test_numbers_of_the_question_are_no_answer_where_there_are_others() -> None:
    question = "If the depth rose by 15% and the other fell by 20%, how much deeper would it be?"
    assert is_correct(question, "5931.8", "With 15% more and 20% less it would be 5,930 m deeper.")
    assert is_correct("How much is 20 of 100 in percent?", "20", "20")


def test_a_scale_that_the_question_asks_for_may_be_said_or_not() -> None:
    question = "What is the average population, in millions?"
    assert is_correct(question, "522", "523.92 millions")
    assert is_correct(question, "522", "523.92")
    assert not is_correct("What is the average population?", "522", "523.92 million")


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("Mariana Trench", True),
        ("the mariana trench.", True),
        ("Answer: Mariana Trench", True),
        ("The final answer is **Mariana Trench**.", True),
        ("Mariana Trench (8,787 m)", True),
        ("The Mariana Trench would be shallower.", True),
        ("The Mariana Trench, at 8,787 m, would be the shallower one, before the Puerto Rico Trench.", True),
        ("The smallest would be Mariana Trench. The depth would be 8,787.2 metres.", True),
        ("Mariana Trench, Puerto Rico Trench", False),
        ("The Puerto Rico Trench would be shallower than the Mariana Trench.", False),
        ("Not the Mariana Trench", False),
        ("Mariana", False),
        ("", False),
    ],
)
def test_a_text_is_right_if_it_is_the_same(answer: str, correct: bool) -> None:
    assert is_correct("Which one would be shallower?", "Mariana Trench", answer) is correct


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ("Trenton–Mercer Airport", "Trenton-Mercer Airport"),
        ("Pirate's Cove", "Pirate’s Cove"),
        ("W. R. Grace Building", "The W.R. Grace Building".replace("W.R.", "W. R.")),
        ("The The", "the the"),
        ("U.S.", "US"),
    ],
)
def test_spelling_does_not_count(expected: str, answer: str) -> None:
    assert is_correct("Which?", expected, answer)


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("Yes", True),
        ("**Yes**, both are flowering plants.", True),
        ("Answer: yes", True),
        ("No, only one is.", False),
        ("Yesterday", False),
        ("Both are.", False),
    ],
)
def test_yes_or_no_is_the_first_word(answer: str, correct: bool) -> None:
    assert is_correct("Are both flowering plants?", "yes", answer) is correct


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("Batman Returns", True),
        ("I'd recommend *Batman Returns* (1992), which is as dark.", True),
        ("Batman", False),
        ("Batman Returns or The Way of the Gun", False),
        ("Batman is less similar than Batman Returns.", False),
        ("None of them", False),
    ],
)
def test_an_option_is_right_if_it_is_the_only_one_named(answer: str, correct: bool) -> None:
    assert is_correct(FILMS, "Batman Returns", answer) is correct


def test_options_are_the_lines_after_the_word() -> None:
    assert options(FILMS) == ["Batman", "Batman Returns", "The Way of the Gun"]
    assert options("Which?") == []


def test_the_final_part_follows_the_last_marker() -> None:
    assert final_part("The answer is 3? No.\nFinal answer: 4") == "4"
    assert final_part(r"So it is \boxed{42}.") == "42"


@given(st.text(max_size=300), st.text(max_size=60), st.text(max_size=200))
def test_nothing_that_is_said_raises(answer: str, expected: str, question: str) -> None:
    for scorer in ("paper", "exact", "contains", "number"):
        score(question, expected, answer, scorer)


@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_a_number_is_read_back_as_it_was_written(value: float) -> None:
    for text in (f"{value:.4f}", f"{value:,.4f}", f"{value:.6e}"):
        assert numbers_meant("How much?", f"It is {text} km.") == [pytest.approx(value, rel=1e-5, abs=1e-4)]


@given(st.text(max_size=100))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
