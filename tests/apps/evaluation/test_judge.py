"""A model as judge: what it is asked, and what it may say."""

import pytest
from langchain_openai import ChatOpenAI
from pydantic import ValidationError

from agent import ModelError
from apps.evaluation.judge import Verdict, judge
from tests.support.model_server import ModelServer, Reply


async def test_a_judge_says_whether_and_why(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    said = {"reason": "Both say Paris.", "correct": True}
    model_server.handler = lambda _: Reply(tool_calls=[("Verdict", said)])
    assert await judge(chat_model, "Which capital?", "Paris", "It is Paris.") == Verdict(**said)
    (request,) = model_server.requests
    assert request.user == "Question: Which capital?\nRight answer: Paris\nAnswer: It is Paris."


async def test_what_is_no_verdict_raises(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.handler = lambda _: "CORRECT"
    with pytest.raises(ModelError, match="no verdict"):
        await judge(chat_model, "?", "1", "1")
    model_server.handler = lambda _: Reply(tool_calls=[("Verdict", {"reason": "I can't say."})])
    with pytest.raises(ValidationError, match="correct"):
        await judge(chat_model, "?", "1", "1")
