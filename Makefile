# Every target sets up what it needs in VENV: with uv where it is on the PATH, else
# with venv and pip. A second run finds the work done.
PYTHON ?= python3
VENV ?= .venv
VENV_LOWEST ?= .venv-lowest

UV := $(shell command -v uv 2>/dev/null)
BIN := $(VENV)/bin

# pip reads dependency groups since 25.1. uv leaves pip out unless it is told to seed.
ifdef UV
create = "$(UV)" venv --quiet --seed --allow-existing --python "$(PYTHON)" $(1)
install = "$(UV)" pip install --quiet --python $(1) $(2)
else
create = "$(PYTHON)" -m venv $(1) && $(1)/bin/python -m pip install -qq --upgrade "pip>=25.1"
install = $(1)/bin/python -m pip install -qq $(2)
endif

EXTRAS := testing,aiohttp
GROUPS := --group dev --group bench --group scale --group docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo agent batch ray-batch notebook test test-package test-around
.PHONY: test-lowest lint format bench build docs audit clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "PYTHON=python3.13 chooses the interpreter, VENV=.venv-3.13 the environment."

demo: $(VENV)/.demo ## Run the quickstart: live with credentials, else on a local server
	@$(BIN)/python examples/quickstart.py

agent batch: $(VENV)/.demo ## Run an example: an agent with memory; a file of prompts
	@$(BIN)/python examples/$@.py

ray-batch: $(VENV)/.dev ## Run the example on a local Ray cluster
	@$(BIN)/python examples/ray_batch.py

notebook: $(VENV)/.dev ## Run the notebook, and write its outputs into it
	@$(BIN)/python examples/_run_notebook.py examples/chat.ipynb

# What is around the package is tested by itself: the longest of it waits a lot.
AROUND := $(patsubst %,tests/integration/test_%.py,benchmarks examples notebook packaging site typing)

test: test-package test-around ## Run all tests, with the coverage gate

test-package: $(VENV)/.dev ## Run the tests of the package
	@$(BIN)/pytest --cov $(addprefix --ignore=,$(AROUND))

test-around: $(VENV)/.dev ## Run the tests of examples, benchmarks, packaging, types
	@$(BIN)/pytest $(AROUND)

test-lowest: $(VENV_LOWEST)/.installed ## Run the package's tests on its oldest dependencies
	@$(VENV_LOWEST)/bin/pytest $(addprefix --ignore=,$(AROUND))

lint: $(VENV)/.dev ## Check style, formatting and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(VENV)/.dev ## Fix style and formatting
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(VENV)/.dev ## Measure speed next to the floor and to other packages
	@$(BIN)/python -m benchmarks

build: $(VENV)/.dev ## Build the sdist and the wheel into dist/, and check them
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*

docs: $(VENV)/.dev ## Build the documentation site into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

audit: $(VENV)/.dev ## Look up what is installed among known vulnerabilities
	@$(BIN)/pip-audit --local --skip-editable

clean: ## Remove the environments and everything that was generated
	@rm -rf $(VENV) $(VENV_LOWEST) dist build htmlcov .coverage .coverage.*
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg $(VENV_LOWEST)/pyvenv.cfg:
	@echo "Creating $(@D)"
	@$(call create,$(@D))

$(VENV)/.demo: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing langchain-pmock[testing] and what the examples use into $(VENV)"
	@$(call install,$(VENV),--editable ".[testing]" --group examples)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing langchain-pmock and the development tools into $(VENV)"
	@$(call install,$(VENV),--editable ".[$(EXTRAS)]" $(GROUPS))
	@touch $@

# The constraints are the lower bounds of the project's own dependencies and extras.
$(VENV_LOWEST)/.installed: pyproject.toml | $(VENV_LOWEST)/pyvenv.cfg
	@echo "Installing langchain-pmock and its oldest dependencies into $(VENV_LOWEST)"
	@sed -n "/^dependencies =/,/^\[dependency-groups\]/p" $< | grep -oE '"[a-z0-9-]+>=[0-9.]+' \
		| sed 's/"//; s/>=/==/' > $(VENV_LOWEST)/lowest.txt
	@$(call install,$(VENV_LOWEST),--constraint $(VENV_LOWEST)/lowest.txt \
		--editable ".[$(EXTRAS)]" --group test --group examples)
	@touch $@
