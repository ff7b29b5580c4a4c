"""A run followed event by event."""

from contextlib import aclosing

from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from agent import create_llm_compiler
from apps.runs.report import report_of, turns_of
from apps.runs.run import Run, follow
from apps.runs.threads import Session
from tests.support.model_server import ModelServer, Reply
from tests.support.mountains import height


async def test_what_is_said_before_another_plan_is_no_answer(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    replan = Reply("Let me look again.", tool_calls=[("replan", {"feedback": "More."})])
    model_server.script(planner=['1. height("K2")\n2. join()', "3. join()"], joiner=[replan, "8,611 m"])
    session = Session(create_llm_compiler([height], model=chat_model, checkpointer=InMemorySaver()), "t")
    run, replans = Run("How high is K2?"), 0
    async with aclosing(follow(run, session=session)) as events:
        async for event in events:
            if event["type"] == "plan_started" and run.replans:
                replans += 1
                assert (run.answer, run.finished) == ("", None)
                assert [turn.answer for turn in turns_of(await session.thread())] == [None]
    assert (run.answer, replans) == ("8,611 m", 1)


async def test_a_call_that_was_not_made_again_has_no_times(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. height("K2")\n2. height("K2")\n3. join("$1 $2")'])
    run = Run("How high is K2?")
    async for _ in follow(run, session=Session(create_llm_compiler([height], model=chat_model), "t")):
        pass
    assert [task.result for task in report_of(run, None).tasks] == ["8611", "8611"]
    for told in (run.tasks, report_of(run, None).tasks):
        assert [task.started is None for task in told] == [False, True]


async def test_a_thread_says_why_there_is_another_plan_also_if_the_first_had_no_calls(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    replan = Reply(tool_calls=[("replan", {"feedback": "How high is it?"})])
    model_server.script(planner=["1. join()", '2. height("K2")\n3. join("$2 m")'], joiner=[replan])
    session = Session(create_llm_compiler([height], model=chat_model, checkpointer=InMemorySaver()), "t")
    run, again = Run("How high is K2?"), Run("How high is K2?")
    async for _ in follow(run, session=session):
        pass
    thread = await session.thread()
    again.recall(thread)
    assert run.replans == again.replans == turns_of(thread)[0].replans == ["How high is it?"]
