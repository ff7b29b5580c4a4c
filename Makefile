# One command for each thing that people do with this project. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
Q ?= If Mount Everest were 12% taller, Aconcagua 18% lower and the CN Tower 22% taller, how many times as high as the lowest would the highest be?

# Without saved bytecode, every process compiles again all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test notebooks torture bench lint format requirements audit studio serve load clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/ready ## Create .venv with the pinned dependencies of every extra

# uv installs many times faster than pip, but knows nothing of pip's configuration: where it can't be had, or can't reach
# an index, pip does the same.
$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.txt > $(VENV)/uv.txt
	@$(PIP) --require-hashes -r $(VENV)/uv.txt 2>/dev/null \
		&& $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements.txt 2>/dev/null \
		|| $(PIP) --no-deps --require-hashes -r requirements.txt
	@$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/ready ## Answer a question with the live view; make demo Q="…" answers yours
	@$(BIN)/llm-compiler "$$QUESTION"
demo: export QUESTION = $(Q)

test: $(VENV)/ready ## Run the whole test suite; make test ARGS="-k parser" a part of it
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)
test: WORKERS = 4

notebooks: $(VENV)/ready ## Run the notebooks and save them with their outputs; make notebooks ARGS=02 one of them
	@$(BIN)/python -m tests.support.notebooks $(ARGS)

torture: $(VENV)/ready ## Kill N=1000 runs at random moments and resume them; 10 N random plans with failures
	@$(BIN)/python -m tests.torture --kills $(N) --changed $$(($(N) / 5))
	@RANDOM_PLANS=$$((10 * $(N))) $(BIN)/python -m pytest -q tests/end_to_end/test_random_plans.py
torture: N = 1000

bench: $(VENV)/ready ## Measure the machinery against the ideal and other agents; QUICK=1 in a minute
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(ARGS)

lint: $(VENV)/ready ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/ready ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

studio: $(VENV)/ready ## Serve the graphs to LangGraph Studio
	@LANGGRAPH_STRICT_MSGPACK=true $(BIN)/langgraph dev

serve: $(VENV)/ready ## Serve the agent over HTTP, with a page to watch it; HOST=… and PORT=… say where
	@$(BIN)/python -m apps.server

load: $(VENV)/ready ## Measure the server under up to 500 streams at once
	@$(BIN)/python -m tests.benchmarks.load $(ARGS)

requirements: $(VENV)/ready ## Refresh the pins in requirements.txt within the ranges of pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements.txt

audit: $(VENV)/ready ## Look for published advisories of the pinned dependencies (needs a network)
	@$(BIN)/python .ci/audit.py $(ARGS)

clean: ## Remove .venv and every cache
	rm -rf .venv .venv-peers build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .langgraph_api
