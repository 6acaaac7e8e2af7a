# Every target installs what it needs, and no more: with uv where it is on the PATH, else
# with venv and pip. A second run finds it installed.
VENV ?= .venv
VENV_LINT ?= .venv-lint
VENV_LOWEST ?= .venv-lowest
VENV_FOREIGN ?= .venv-foreign

UV := $(shell command -v uv 2>/dev/null)
BIN := $(VENV)/bin
TEST := $(VENV)/test+ecosystem.installed

# Without PYTHON=..., an environment keeps the Python that it was created with.
ifeq ($(origin PYTHON),undefined)
pythons = $(wildcard $(1)/bin/python) python3 3.14 3.13 3.12 3.11
else
pythons = "$(PYTHON)"
endif

# A complete environment has this file. With another Python it has another name.
ready = $(1)/.python-$(firstword $(shell .ci/find-python $(pythons) 2>/dev/null))

# pip reads dependency groups since 25.1. uv installs pip with --seed only.
ifdef UV
create = "$(UV)" venv --quiet --seed --clear --python "$$python" $(1)
install = "$(UV)" pip install --quiet --python $(@D) $(1)
else
create = "$$python" -m venv --clear $(1) && $(1)/bin/python -m pip install -qq --upgrade "pip>=25.1"
install = $(@D)/bin/python -m pip install -qq $(1)
endif

# During an installation an environment is not complete: if that is interrupted, the next
# run creates the environment anew.
into = mv $(1) $(1)~; $(call install,$(2)); failed=$$?; mv $(1)~ $(1); exit $$failed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDEXPANSION:
.PHONY: help demo agent batch ray-batch notebook test test-package test-around
.PHONY: test-benchmarks test-ray test-site test-typing test-foreign
.PHONY: test-lowest test-pythons test-another
.PHONY: lint format bench build docs audit clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "PYTHON=python3.13 chooses the interpreter, VENV=.venv-3.13 the environment."

demo: $(VENV)/examples.installed ## Run the quickstart: live with credentials, else on a local server
	@$(BIN)/python examples/quickstart.py

agent batch: $(VENV)/examples.installed ## Run an example: an agent with memory; a file of prompts
	@$(BIN)/python examples/$@.py

ray-batch: $(VENV)/examples+ray.installed ## Run the example on a local Ray cluster
	@$(BIN)/python examples/ray_batch.py

notebook: $(TEST) ## Run the notebook, and write its outputs into it
	@$(BIN)/python examples/_run_notebook.py examples/chat.ipynb

# Tests run in as many processes as there are cores. What is around the package is tested
# in a part of its own; tests that need a large dependency have a target of their own.
integration = $(patsubst %,tests/integration/test_%.py,$(1))
PARALLEL := --numprocesses=auto --maxprocesses=4
AROUND := $(call integration,examples make notebook packaging)
APART := $(call integration,benchmarks ray site typing)
NOT_PACKAGE := $(addprefix --ignore=,$(AROUND) $(APART))

# Tests of tools that the dependencies do not touch, and of endurance.
TOOLS := $(call integration,check hostile interruption soak tapes upstream)

test: $(TEST) ## Run all tests that need no large dependency, with the coverage gate
	@MAKE="$(MAKE)" .ci/each test-package test-around

test-package: $(TEST) ## Run the tests of the package
	@$(BIN)/pytest $(PARALLEL) --dist=worksteal --cov $(NOT_PACKAGE)

test-around: $(TEST) ## Run the tests of examples, Makefile, notebook and distributions
	@$(BIN)/pytest $(PARALLEL) --dist=loadfile $(AROUND)

test-benchmarks: $(VENV)/test+bench.installed ## Run the tests of the benchmarks, with matplotlib
test-ray: $(VENV)/test+ray.installed ## Run the tests of the example on Ray
test-site: $(VENV)/test+docs.installed ## Run the tests of the site, with Playwright and a Chromium of yours
test-typing: $(VENV)/test+typing.installed ## Run the tests of the types, with mypy and pyright
test-benchmarks test-ray test-site test-typing:
	@$(BIN)/pytest $(call integration,$(@:test-%=%))

test-foreign: $(VENV_FOREIGN)/foreign.installed ## Run other projects' tests with ChatPmock as their model
	@$(VENV_FOREIGN)/bin/pytest tests/foreign

test-lowest: $(VENV_LOWEST)/lowest.installed ## Run the package's tests on its oldest dependencies
	@$(VENV_LOWEST)/bin/pytest $(PARALLEL) --dist=worksteal $(NOT_PACKAGE) $(addprefix --ignore=,$(TOOLS))

test-pythons: ## Run the package's tests on each Python from 3.11 to 3.14 that is here
	@.ci/test-pythons $(PARALLEL) --dist=worksteal $(NOT_PACKAGE)

test-another: ## Run the unit tests on one Python that is not the default
	@.ci/test-pythons --one $(PARALLEL) --dist=worksteal tests/unit

lint: $(VENV_LINT)/lint.installed ## Check style, formatting, types, imports and workflows
	@$(VENV_LINT)/bin/ruff check
	@$(VENV_LINT)/bin/ruff format --check
	@$(VENV_LINT)/bin/mypy
	@$(VENV_LINT)/bin/lint-imports --no-cache --no-logo
	@$(VENV_LINT)/bin/zizmor --offline --quiet .github

format: $(VENV_LINT)/lint.installed ## Fix style and formatting
	@$(VENV_LINT)/bin/ruff check --fix
	@$(VENV_LINT)/bin/ruff format

bench: $(VENV)/bench.installed ## Measure speed next to the floor and to other packages
	@$(BIN)/python -m benchmarks

build: $(VENV)/build.installed ## Build the sdist and the wheel into dist/, and check them
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*

docs: $(VENV)/docs.installed ## Build the documentation site into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

audit: $(VENV)/test+audit.installed ## Look up what is installed among known vulnerabilities
	@$(BIN)/pip-audit --local --skip-editable

clean: ## Remove the environments and everything that was generated
	@rm -rf $(VENVS) .venv-3.1? dist build htmlcov .coverage .coverage.*
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- Environments ---------------------------------------------------------------------

VENVS := $(VENV) $(VENV_LINT) $(VENV_LOWEST) $(VENV_FOREIGN)

# With no recipe, so that an environment is created anew where its Python is gone.
$(addsuffix /bin/python,$(VENVS)):

$(foreach venv,$(VENVS),$(call ready,$(venv))): $$(@D)/bin/python
	@if [ -n "$$(ls -A $(@D) 2>/dev/null)" ] && [ ! -e $(@D)/pyvenv.cfg ]; then \
		echo "$(@D) is no virtual environment: move it away, or name another with VENV=..." >&2; \
		exit 1; \
	fi
	@found=$$(.ci/find-python $(call pythons,$(@D))) && python="$${found#* }" \
		&& echo "Creating $(@D) with Python $${found%% *}" && $(call create,$(@D))
	@touch $@

# The file test+docs.installed is there when these groups of pyproject.toml are installed.
groups = $(subst +, ,$(*F))
size-examples := 60 packages, 130 MB; half a minute to two minutes
size-test := 170 packages, 700 MB; one to four minutes
size-lint := $(size-test)

%.installed: pyproject.toml $$(call ready,$$(@D))
	@echo "Installing langchain-pmock[testing] and the dependency groups $(strip $(groups)) into $(@D)"
	@echo "$(or $(size-$(firstword $(groups))),A few minutes). It is done once."
	@$(call into,$(call ready,$(@D)),--editable ".[testing]" $(addprefix --group ,$(groups)))
	@touch $@

# The constraints are the lower bounds of the project's own dependencies and extras.
$(VENV_LOWEST)/lowest.installed: pyproject.toml $$(call ready,$$(@D))
	@echo "Installing langchain-pmock and its oldest dependencies into $(@D)"
	@sed -n "/^dependencies =/,/^\[dependency-groups\]/p" $< | grep -oE '"[a-z0-9-]+>=[0-9.]+' \
		| sed 's/"//; s/>=/==/' > $(@D)/lowest.txt
	@$(call into,$(call ready,$(@D)),--constraint $(@D)/lowest.txt \
		--editable ".[testing]" --group test)
	@touch $@
