# syntax=docker/dockerfile:1
# The agent over HTTP (apps/server/app.py), as an image:
#
#   docker build -t llm-compiler .
#   docker run -p 8000:8000 -e OPENAI_API_KEY -e LLM_COMPILER_API_KEY=choose-one llm-compiler
#
# For LangGraph's own server: `langgraph build -t llm-compiler` (see CONTRIBUTING.md).

FROM python:3.12-slim AS build
ARG EXTRAS="serve mcp postgres providers"
# demo
ARG EXTRAS="serve mcp postgres providers search"
# /demo
WORKDIR /build
COPY requirements.txt pyproject.toml ./
# uv as it is pinned; then of the pinned packages those that the server needs. Each must have one of the hashes.
RUN awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements.txt > uv.txt \
    && pip install --no-cache-dir --require-hashes -r uv.txt \
    && uv venv /venv \
    && uv pip install --no-cache --compile-bytecode --python /venv/bin/python --require-hashes --constraint requirements.txt \
        --requirement pyproject.toml $(printf -- '--extra=%s ' $EXTRAS)

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 agent
WORKDIR /app
COPY --from=build /venv /venv
COPY agent agent
COPY tools tools
COPY graphs graphs
COPY apps apps
# An agent of your own may stand beside them, as my_agent.py.
COPY langgraph.json *.py ./
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000
# Nothing is written at run time, so it would be compiled at each start.
RUN python -m compileall -q agent tools graphs apps
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
# Listening on every interface, it refuses to start without LLM_COMPILER_API_KEY.
CMD ["python", "-m", "apps.server"]
