"""The agents that the servers serve. Their tools ask the test, at the socket that GATE names, to be let through."""

import asyncio
import os

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool

from agent import create_llm_compiler


@tool
async def work(name: str, config: RunnableConfig) -> str:
    """works"""
    reader, writer = await asyncio.open_unix_connection(os.environ["GATE"])
    writer.write(f"{config['configurable']['thread_id']} {os.getpid()} {name}\n".encode())
    await reader.readline()
    writer.close()
    return name


@tool
async def pay(to: str) -> str:
    """pays"""
    return f"paid to {to}"


pay.metadata = {"requires_approval": True, "side_effects": True}

chain = create_llm_compiler([work], name="chain")
payment = create_llm_compiler([pay], name="payment")
