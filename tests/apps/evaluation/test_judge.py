"""A model as judge: what it is asked, and how its words are read."""

import pytest
from langchain_core.language_models import FakeListChatModel

from apps.evaluation.judge import Verdict, judge, read_verdict


@pytest.mark.parametrize(
    ("reply", "correct"),
    [
        ("CORRECT", True),
        ("INCORRECT", False),
        (" **Correct.**", True),
        ("Incorrect: 12 is not correct here.", False),
        ("CORRECT, although it could be incorrect in another unit.", True),
        ("The right answer is 12. The answer says 12 as well. So it is CORRECT.", True),
        ("I would say that it's not correct.", False),
        ("That isn't incorrect.", True),
        ("<think>Is it incorrect? INCORRECT…</think>\nCORRECT", True),
        ("Verdict: INCORRECT", False),
        ("Yes", None),
        ("", None),
        ("corrected", None),
        ("I can't say one word, CORRECT or INCORRECT.", None),
        ("Of CORRECT and INCORRECT, it is CORRECT.", True),
    ],
)
def test_a_verdict_is_found_in_chatter(reply: str, correct: bool | None) -> None:
    assert read_verdict(reply) is correct


async def test_a_judge_that_gives_no_verdict_is_asked_once_more() -> None:
    assert await judge(FakeListChatModel(responses=["Hm.", "CORRECT"]), "?", "1", "1") == Verdict(True, "CORRECT")
    assert await judge(FakeListChatModel(responses=["Hm.", "Well.", "CORRECT"]), "?", "1", "1") == Verdict(
        None, "Well."
    )
