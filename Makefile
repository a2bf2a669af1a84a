# Vaguemestre: every target installs what it needs first. Start with `make demo`, then `make test`.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -P
DOCUMENT ?=

.PHONY: help install demo test check bench fuzz golden clean dev system lock audit

help: ## say what each target does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(VENV)/.installed ## install the product into .venv, from the hashed lock file

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is needed: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

dev: $(VENV)/.installed-dev

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the developers' tools into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

system: ## install the servers that the tests talk to (Debian packages; root or sudo)
	@sh tests/install-system-packages.sh

demo: install ## start a whole trust space on localhost, send letters through it, check each step
	@$(RUN) -m vaguemestre demo

test: dev system ## run every test, on real servers
	@$(BIN)/coverage erase
	@$(RUN) -m pytest -n 2 --dist loadfile --cov --cov-report= $(PYTEST)
	@$(BIN)/coverage report --skip-covered --fail-under=90
	@$(BIN)/coverage report --include='core/*,routing/*,certs/*' --fail-under=98 --format=total

check: dev ## what must hold before each commit: style, types, imports, quick tests, fuzz smoke
	@$(BIN)/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(RUN) -m pytest -q -n 2 --dist loadfile tests/unit tests/architecture tests/fuzz

bench: dev ## measure beside Postfix and Dovecot on this machine, in the same minutes
	@sh tests/install-system-packages.sh
	@$(BIN)/python -m bench $(BENCH)

fuzz: dev ## longer fuzzing of every parser
	@$(RUN) -m pytest -q tests/fuzz --hypothesis-profile=long

golden: dev ## rewrite the golden files (read the diff before you commit it)
	@$(RUN) -m pytest -q tests --rewrite-golden -k golden

audit: dev ## look for known vulnerabilities in what is pinned (needs the network)
	@$(BIN)/pip-audit -r requirements.txt --disable-pip

lock: ## refresh the hashed lock files
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile -q pyproject.toml --generate-hashes --no-header -o requirements.txt --python-version 3.11
	@$(BIN)/uv pip compile -q pyproject.toml --group dev --generate-hashes --no-header -o requirements-dev.txt --python-version 3.11

clean: ## remove everything that was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov dist build *.egg-info .demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
