"""How often a checkpointer saves the whole conversation, beside what each step adds to it."""

import pytest
from langchain_core.messages import HumanMessage

from agent import create_llm_compiler
from agent.conversation.channel import MessagesChannel


def look(thing: str) -> str:
    """looks"""
    return thing


@pytest.mark.parametrize(("messages", "additions"), [(0, 100), (400, 100), (4000, 1000)])
def test_the_longer_a_conversation_is_the_seldomer_the_whole_of_it_is_saved(messages: int, additions: int) -> None:
    channel = create_llm_compiler([look]).channels["messages"]
    assert isinstance(channel, MessagesChannel)
    channel.update([[HumanMessage("?", id=str(number)) for number in range(messages)]])
    assert channel.snapshot_frequency == additions
    assert channel.copy().snapshot_frequency == additions
