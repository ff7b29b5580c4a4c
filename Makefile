# One command for each thing that people do with this project. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
Q ?= How much taller is Mount Everest than K2, and what is that in percent of K2?

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format requirements studio clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/ready ## Create .venv with the pinned dependencies of every extra

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up .venv (once; takes a minute or two) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: .venv/ready ## Answer a question with the live view; make demo Q="…" answers yours
	@$(BIN)/llm-compiler "$$QUESTION"
demo: export QUESTION = $(Q)

test: .venv/ready ## Run the whole test suite
	@$(BIN)/python -m pytest

lint: .venv/ready ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/ready ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

studio: .venv/ready ## Serve the graphs to LangGraph Studio
	@$(BIN)/langgraph dev

requirements: .venv/ready ## Refresh the pins in requirements.txt within the ranges of pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements.txt

clean: ## Remove .venv and every cache
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .langgraph_api
