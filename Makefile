# Wasl's commands for people. `make` alone lists them. Python 3.11 or later is found as python3, or named by
# PYTHON=...; packages go into the active virtual environment, or else into .venv.

PYTHON ?= python3
VENV := $(or $(VIRTUAL_ENV),.venv)
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input --quiet
RUNS := $(VENV)/.wasl-runs
TESTS := $(VENV)/.wasl-tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check torture clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(TESTS) ## install all that Wasl and its tests need

demo: $(RUNS) ## run a hub and three facilities here, with traffic, until Ctrl-C (ONCE=1: one round, checked)
	$(PY) -m demo $(if $(filter-out 0,$(ONCE)),--once)

test: $(TESTS) ## run the unit and integration tests; what is skipped is listed with its reason
	$(PY) -m pytest -n 2

check: $(TESTS) ## check format, lint, types and imports
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

torture: $(TESTS) ## run the long fault campaigns
	$(PY) -m tests.torture

clean: ## remove .venv, caches and build products (never an active virtual environment)
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(TESTS): requirements-test.txt $(RUNS)
	$(PIP) install -r requirements-test.txt
	@touch $@

$(RUNS): requirements.txt setup.py pyproject.toml | $(PY)
	$(PIP) install -r requirements.txt
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

# Debian and Ubuntu keep what makes environments in a package of its own.
$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or later" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: make PYTHON=/path/to/a/later/python3 ..." >&2; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv; \
	  else \
	    echo "$(PYTHON) cannot make virtual environments: install the package python3-venv" >&2; exit 1; \
	  fi; \
	fi
	$(PYTHON) -m venv $(VENV)
