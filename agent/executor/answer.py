"""The plan's own answer, shown while the model writes it.

Only if it is sure to be taken: everything was done that the turn's plans set out to do, its words can claim no deed,
since no tool changes anything, and it has a result in it. Of a reference that is still being written nothing is shown.
"""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage

from agent.conversation.answer import Filling, NoAnswerError, all_done, certain, fill_in
from agent.handover import Handover
from agent.streaming import StreamedMessage


async def show_answer(handover: Handover, messages: Sequence[AnyMessage], streamed: StreamedMessage) -> None:
    """Show the plan's answer as far as it is certain, until the plan is there.

    Args:
        handover: Where the planner says what it has read of it.
        messages: The conversation, with all of this plan's results.
        streamed: The answer's message.
    """
    if not all_done(messages):
        return
    filling = Filling(messages)
    filled, position = "", 0
    async for answer in handover.answer():
        end = certain(answer)
        if end > position:
            try:
                filled += filling.put_in(answer, position, end)
            except NoAnswerError:
                return
            position = end
            if streamed.text or filling.may_answer(answer[:end]):
                streamed.add(filled.strip()[len(streamed.text) :])


def whole_answer(answer: str, messages: Sequence[AnyMessage], streamed: StreamedMessage) -> AIMessage | None:
    """The answer whose beginning is shown, with the rest of it; None if none is. It is taken back if the rest can't
    stand there."""
    if not streamed.text:
        return None
    if not (text := fill_in(answer, messages, changing=())):
        streamed.take_back()
        return None
    streamed.finish(text)
    return AIMessage(text, id=streamed.id)
