# Wasl's commands for people. `make` alone lists them. Python 3.11 or later is found as python3, or named by
# PYTHON=...; packages go into the active virtual environment, or else into .venv.

PYTHON ?= python3
VENV := $(or $(VIRTUAL_ENV),.venv)
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input --quiet
RUNS := $(VENV)/.wasl-runs
TESTS := $(VENV)/.wasl-tests
BENCH := $(VENV)/.wasl-bench
RELEASE := $(VENV)/.wasl-release

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check pictures bench torture lock audit sbom deb bundle trial site clean

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

pictures: $(TESTS) ## draw the pictures of the desk that the documents show again (Chromium, fonts-noto-core)
	$(PY) -m tests.browser.pictures

bench: $(BENCH) ## measure everything, beside others that are installed, and redraw docs/performance.md
	$(PY) -m benchmarks all

torture: $(TESTS) ## run fault campaigns in rounds for an hour (MINUTES=N)
	$(PY) -m tests.torture --minutes $(or $(MINUTES),60)

lock: $(RELEASE) ## write requirements.lock: requirements.txt with the hash of every file
	@{ echo "# requirements.txt with the hash of every file that may be installed. Made by \`make lock\`; never edit it."; \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    requirements.txt; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

audit: $(RELEASE) ## ask which locked packages have known holes; skipped with its reason if nobody can be asked
	$(PY) -m release.audit || [ $$? = 3 ]

sbom: $(RELEASE) ## write the bill of materials, dist/wasl.cdx.json (CycloneDX)
	@mkdir -p dist
	$(VENV)/bin/cyclonedx-py requirements --output-reproducible --of JSON -o dist/wasl.cdx.json requirements.lock

deb: $(RUNS) ## build the Debian package into dist/
	$(PY) -m release.debian

bundle: $(RUNS) ## build the offline bundle for intranets into dist/
	$(PY) -m release.bundle

trial: $(RUNS) ## follow docs/install.md on three empty Debians under systemd (root, debootstrap, systemd-nspawn)
	$(PY) -m release.trial

site: $(RELEASE) ## build the documents as a site into site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

clean: ## remove .venv, caches and build products (never an active virtual environment)
	rm -rf .venv build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RELEASE): requirements-release.txt $(RUNS)
	$(PIP) install -r requirements-release.txt
	@touch $@

$(BENCH): requirements-bench.txt $(TESTS)
	$(PIP) install -r requirements-bench.txt
	@touch $@

$(TESTS): requirements-test.txt $(RUNS)
	$(PIP) install -r requirements-test.txt
	@touch $@

$(RUNS): requirements.txt setup.py pyproject.toml | $(PY)
	@echo "installing into $(VENV): two or three minutes, with what the tests need"
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
