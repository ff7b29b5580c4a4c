"""Coming back to a thread: what it holds, and the run that goes on in it.

Who has the server's key and a thread's id may do all this, and there is no list of threads: a client knows its own.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from sse_starlette import EventSourceResponse

from apps.server.agent import Conversation, ServedAgent
from apps.server.errors import OF_POSTS, RefusedError, documented
from apps.server.schema import THREAD_ID
from apps.server.streams import SERVER_SENT, ServerSent

NOTHING_RUNS = "Nothing that could be read again runs in the thread {thread!r}."
READ_AGAIN = """\
The events of the run that was started with `on_disconnect: continue` in this thread, from its beginning, as
`/agent/stream` sends them; 404 if none is running at this server."""

ThreadId = Annotated[str, Path(pattern=THREAD_ID)]


def add_conversations(router: APIRouter, agent: ServedAgent) -> None:
    """Serve the agent's threads."""

    @router.get("/agent/threads/{thread_id}", responses=documented(404, 422, 503), tags=["agent"])
    async def conversation(thread_id: ThreadId) -> Conversation:
        """The questions of a thread, with their answers and how they came about."""
        return await agent.conversation(thread_id)

    @router.delete("/agent/threads/{thread_id}", status_code=204, responses=documented(409, 422, 503), tags=["agent"])
    async def delete(thread_id: ThreadId) -> None:
        """Forget a thread, if there is one; what runs in it is stopped."""
        await agent.forget(thread_id)

    @router.post(
        "/agent/threads/{thread_id}/stream",
        description=READ_AGAIN,
        response_class=EventSourceResponse,
        responses=SERVER_SENT | OF_POSTS | documented(404),
        tags=["agent"],
    )
    async def read_again(thread_id: ThreadId, _: Annotated[dict[str, Any], Body(max_length=0)]) -> EventSourceResponse:
        run = agent.live.get(thread_id)
        if run is None:
            raise RefusedError(404, NOTHING_RUNS.format(thread=thread_id))
        return ServerSent(run.read(), agent.limits.shutdown_timeout)

    @router.delete("/agent/threads/{thread_id}/stream", status_code=204, responses=documented(422), tags=["agent"])
    async def stop(thread_id: ThreadId) -> None:
        """Stop the run that goes on here without its client, if there is one; what is saved can be resumed."""
        if run := agent.live.get(thread_id):
            await run.stop()
