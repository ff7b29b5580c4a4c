"""LangSmith's HTTP API, as far as its client needs it to read a dataset and to write an experiment."""

import json
import uuid
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DATASET = "my questions"


class LangSmith:
    """The server's app, and what reached it."""

    def __init__(self, questions: list[dict[str, str]]) -> None:
        self._questions = questions
        self.scores: list[tuple[str, bool]] = []
        self.experiments: list[str] = []
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "PATCH"])])

    async def _answer(self, request: Request) -> Response:
        about = {"id": str(uuid.UUID(int=1)), "created_at": "2026-01-01T00:00:00Z"}
        body: Any = {}
        match request.method, request.url.path:
            case "GET", "/datasets":
                body = [{**about, "name": DATASET}] if request.query_params["name"] == DATASET else []
            case "GET", "/examples":
                body = [
                    {
                        **about,
                        "id": str(uuid.UUID(int=number)),
                        "dataset_id": about["id"],
                        "inputs": {"question": question["question"]},
                        "outputs": {"answer": question["answer"]},
                    }
                    for number, question in enumerate(self._questions, 1)
                ]
            case "POST", "/sessions":
                self.experiments.append(json.loads(await request.body())["name"])
                given = {
                    "reference_dataset_id": about["id"],
                    "tenant_id": about["id"],
                    "start_time": about["created_at"],
                }
                body = {**about, **given, "name": self.experiments[-1]}
            case "POST", "/feedback":
                score = json.loads(await request.body())
                self.scores.append((score["key"], score["score"]))
        return JSONResponse(body)
