"""What tests of the server share: an agent with tools of the tests' own, behind a real server."""

from functools import partial

import pytest
from langchain_openai import ChatOpenAI

from tests.support.serving import Serve, Tools, serving_agent


@pytest.fixture
def tools() -> Tools:
    return Tools()


@pytest.fixture
def serve(chat_model: ChatOpenAI, tools: Tools) -> Serve:
    """Serves an agent with the scripted model: `async with serve(max_runs=1) as url`."""
    return partial(serving_agent, chat_model, tools)
