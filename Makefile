# Every target sets up what it needs in VENV: with uv where it is on the PATH, else
# with venv and pip. A second run finds the work done.
VENV ?= .venv
VENV_LOWEST ?= .venv-lowest

UV := $(shell command -v uv 2>/dev/null)
BIN := $(VENV)/bin

# Without PYTHON=..., an environment keeps the Python that it was made with.
ifeq ($(origin PYTHON),undefined)
pythons = $(wildcard $(1)/bin/python) python3 3.14 3.13 3.12 3.11
else
pythons = "$(PYTHON)"
endif

# An environment that is whole has this file. With another Python it has another name.
ready = $(1)/.python-$(firstword $(shell .ci/find-python $(pythons) 2>/dev/null))
READY := $(call ready,$(VENV))
READY_LOWEST := $(call ready,$(VENV_LOWEST))

# pip reads dependency groups since 25.1. uv leaves pip out unless it is told to seed.
ifdef UV
create = "$(UV)" venv --quiet --seed --clear --python "$$python" $(1)
install = "$(UV)" pip install --quiet --python $(@D) $(1)
else
create = "$$python" -m venv --clear $(1) && $(1)/bin/python -m pip install -qq --upgrade "pip>=25.1"
install = $(@D)/bin/python -m pip install -qq $(1)
endif

# While it is installed into, an environment is not whole: where that is interrupted, the
# next run makes it anew.
into = mv $(1) $(1)~; $(call install,$(2)); failed=$$?; mv $(1)~ $(1); exit $$failed

EXTRAS := testing,aiohttp
GROUPS := --group dev --group bench --group scale --group docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo agent batch ray-batch notebook test test-package test-around
.PHONY: test-lowest lint format bench build docs audit clean
.PHONY: test-pythons test-another

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
AROUND := $(patsubst %,tests/integration/test_%.py,benchmarks examples make notebook packaging site typing)

# Tests of tools that the dependencies do not touch, and of endurance.
TOOLS := $(patsubst %,tests/integration/test_%.py,check hostile soak tapes upstream)

test: test-package test-around ## Run all tests, with the coverage gate

test-package: $(VENV)/.dev ## Run the tests of the package
	@$(BIN)/pytest --cov $(addprefix --ignore=,$(AROUND))

test-around: $(VENV)/.dev ## Run the tests of examples, benchmarks, packaging, types
	@$(BIN)/pytest $(AROUND)

test-lowest: $(VENV_LOWEST)/.installed ## Run the package's tests on its oldest dependencies
	@$(VENV_LOWEST)/bin/pytest $(addprefix --ignore=,$(AROUND) $(TOOLS))

test-pythons: ## Run the package's tests on each Python from 3.11 to 3.14 that is here
	@.ci/test-pythons $(addprefix --ignore=,$(AROUND))

test-another: ## Run the unit tests on one Python that is not the default
	@.ci/test-pythons --one tests/unit

$(VENV)/.test: pyproject.toml $(READY)
	@echo "Installing langchain-pmock and what its tests use into $(VENV)"
	@$(call into,$(READY),--editable ".[$(EXTRAS)]" --group test --group examples)
	@touch $@

lint: $(VENV)/.dev ## Check style, formatting, types, imports and workflows
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/zizmor --offline --quiet .github

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
	@rm -rf $(VENV) $(VENV_LOWEST) .venv-3.1? dist build htmlcov .coverage .coverage.*
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# With no recipe, so that the environment is made anew where its Python is gone.
$(VENV)/bin/python $(VENV_LOWEST)/bin/python:

$(READY): $(VENV)/bin/python
$(READY_LOWEST): $(VENV_LOWEST)/bin/python
$(READY) $(READY_LOWEST):
	@if [ -n "$$(ls -A $(@D) 2>/dev/null)" ] && [ ! -e $(@D)/pyvenv.cfg ]; then \
		echo "$(@D) is no virtual environment: move it away, or name another with VENV=..." >&2; \
		exit 1; \
	fi
	@found=$$(.ci/find-python $(call pythons,$(@D))) && python="$${found#* }" \
		&& echo "Creating $(@D) with Python $${found%% *}" && $(call create,$(@D))
	@touch $@

$(VENV)/.demo: pyproject.toml $(READY)
	@echo "Installing langchain-pmock[testing] and what the examples use into $(VENV)"
	@$(call into,$(READY),--editable ".[testing]" --group examples)
	@touch $@

$(VENV)/.dev: pyproject.toml $(READY)
	@echo "Installing langchain-pmock and the development tools into $(VENV)"
	@$(call into,$(READY),--editable ".[$(EXTRAS)]" $(GROUPS))
	@touch $@

# The constraints are the lower bounds of the project's own dependencies and extras.
$(VENV_LOWEST)/.installed: pyproject.toml $(READY_LOWEST)
	@echo "Installing langchain-pmock and its oldest dependencies into $(VENV_LOWEST)"
	@sed -n "/^dependencies =/,/^\[dependency-groups\]/p" $< | grep -oE '"[a-z0-9-]+>=[0-9.]+' \
		| sed 's/"//; s/>=/==/' > $(@D)/lowest.txt
	@$(call into,$(READY_LOWEST),--constraint $(@D)/lowest.txt \
		--editable ".[$(EXTRAS)]" --group test --group examples)
	@touch $@
