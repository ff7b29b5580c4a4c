"""Long results are cut around what was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from agent.language.excerpt import cut, excerpt

FILLER = "The weather was fair and nothing happened. " * 200


@given(st.text(), st.integers(0, 30))
def test_cutting_keeps_the_beginning(text: str, most: int) -> None:
    assert cut(text, most)[:most] == text[:most]
    assert len(text) > most or cut(text, most) == text


def test_a_short_text_is_whole() -> None:
    assert excerpt("K2 is 8,611 m high.", 100, about="K2") == "K2 is 8,611 m high."


def test_what_was_asked_for_is_kept_wherever_it_stands() -> None:
    text = f"{FILLER}The summit of Annapurna is 8,091 metres high. {FILLER}"
    shown = excerpt(text, 600, about='search("height of the Annapurna summit")')
    assert shown.startswith("The weather was fair")
    assert "The summit of Annapurna is 8,091 metres high." in shown
    assert shown.endswith(f"… [cut: 600 of {len(text):,} characters shown]")


def test_rare_words_count_for_more_than_common_ones() -> None:
    text = FILLER + "The weather on Annapurna is bad. " + FILLER
    assert "Annapurna is bad" in excerpt(text, 400, about="weather nothing happened Annapurna")


def test_without_a_word_to_look_for_the_beginning_is_shown() -> None:
    assert excerpt("x" * 2000, 100) == "x" * 100 + "… [cut: 100 of 2,000 characters shown]"


@given(st.text(alphabet="ab .\n?é", max_size=600), st.integers(10, 200), st.text(alphabet="ab é"))
def test_what_is_shown_is_in_the_text_and_no_longer_than_asked(text: str, most: int, about: str) -> None:
    shown = excerpt(text, most, about)
    if shown != text:
        pieces = shown.rpartition("… [cut: ")[0].split("… ")
        assert sum(map(len, pieces)) <= most
        assert all(piece in text for piece in pieces)
