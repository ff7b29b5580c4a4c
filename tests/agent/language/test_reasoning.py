"""Thoughts are taken out of a text, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.language.reasoning import Thoughts, without_thoughts

FORMS = [
    "<think>{}</think>\n",
    "<thinking>\n{}\n</thinking>\n\n",
    "<thought>{}</thought>",
    "<reasoning>{}</reasoning>",
    "<analysis>{}</analysis>\n",
    "<THINK>{}</Think>",
    "<seed:think>{}</seed:think>",
    "<longcat_think>{}</longcat_think>",
    "<inner_monologue>{}</inner_monologue>",
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel>thought\n{}\n<channel|>",
    "<|begin_of_thought|>{}<|end_of_thought|>",
    "<think>{}</think><think>more</think>",
    # only the end is marked
    "So: {}\n</think>\n\n",
    "{}</thinking>",
    "Well.\n{}[/THINK]",
    "{}\n◁/think▷\n",
    "{} so.<|end|><|start|>assistant<|channel|>final<|message|>",
    "Let me see.\n{}\n<channel|>",
]

TEXTS = {
    "<think>a</think>Hi!": "Hi!",
    "<think></think>\n\nHi!": "Hi!",
    "<think>a <think>b</think> c</think>Hi!": "Hi!",
    "<think>a</think>Hi<think>b</think>!": "Hi!",
    "<analysis>x</analysis><reasoning>y</reasoning>Hi!": "Hi!",
    '<thinking mode="deep">x</thinking>Hi!': "Hi!",
    "<|START_THINKING|>x<|END_THINKING|>Hi!": "Hi!",
    "<|channel|>commentary<|message|>I search.<|end|><|start|>assistant<|channel|>final<|message|>Hi!<|return|>": "Hi!",
    "<unused94>thought\nx<unused95>Hi!": "Hi!",
    "draft</think>Hi!": "Hi!",
    "</think>Hi!": "Hi!",
    "Hi!<|end|>": "Hi!",
    "Hi! <think>cut off": "Hi! ",
    "[THINK]cut off": "",
    "<|channel|>analysis<|message|>cut off": "",
    "<|channel>thought\ncut off": "",
    'Hi! a < b [c] <d> `<think>` "</think>" <|x': 'Hi! a < b [c] <d> `<think>` "</think>" <|x',
    '1. search("no <think> here </think>")': '1. search("no <think> here </think>")',
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 1000])
def test_the_thoughts_are_left_out(text: str, size: int) -> None:
    thoughts, read = Thoughts(), ""
    for start in range(0, len(text), size):
        piece, anew = thoughts.feed(text[start : start + size])
        read = piece if anew else read + piece
    assert read + thoughts.close() == TEXTS[text]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_they_are_marked_in_many_ways(form: str, size: int) -> None:
    text = form.replace("{}", '1. search("thought")\n2. join("thought")') + "Hi!"
    thoughts, read = Thoughts(), ""
    for start in range(0, len(text), size):
        piece, anew = thoughts.feed(text[start : start + size])
        read = piece if anew else read + piece
    assert read + thoughts.close() == "Hi!"


@given(st.text('<think/>[]◁▷| \n"`(a', max_size=60))
def test_any_text_is_read_the_same_whole_and_in_pieces(text: str) -> None:
    thoughts, read = Thoughts(), ""
    for character in text:
        piece, anew = thoughts.feed(character)
        read = piece if anew else read + piece
    assert read + thoughts.close() == without_thoughts(text)


def test_a_text_that_is_expected_to_begin_in_a_thought_waits_for_its_end() -> None:
    thoughts = Thoughts(inside=True)
    assert thoughts.feed("draft") == ("", False)
    assert thoughts.feed("</think>Hi!") == ("Hi!", False)
    assert thoughts.begins_inside


def test_it_is_a_text_after_all_if_nothing_ends_the_thought() -> None:
    thoughts = Thoughts(inside=True)
    assert thoughts.feed("Hi!") == ("", False)
    assert thoughts.close() == "Hi!"
    assert not thoughts.begins_inside
