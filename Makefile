# Everything runs from a bare clone: the first target that needs it sets up .venv, and says so.
# `make PYTHON=python3.12 setup` chooses the Python.

BIN := .venv/bin
INSTALLED := .venv/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
# Without compiled files each of the many processes that tests start compiles the whole project.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo dev docs test test-long test-postgres-storage bench release stack-up stack-down clean

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

setup: $(INSTALLED)  ## makes .venv and installs the project into it

$(INSTALLED): pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" scripts/setup
	@touch $@

demo: setup  ## databases, sync, search, changes and proof, in about a minute
	$(BIN)/vector-pipeline demo

dev: setup  ## the same databases, left running, with the Dagster UI
	$(BIN)/vector-pipeline dev

docs: setup  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "built: site/index.html"

test: setup  ## all checks and all tests but the long ones
	@scripts/chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dg check yaml
	$(BIN)/dg check defs
	$(BIN)/python -m pytest -m "not long" -n 3 --dist worksteal

test-long: setup  ## the tests that take minutes
	$(BIN)/python -m pytest -m long

test-postgres-storage: setup  ## all tests that have a Dagster instance, with its storage in PostgreSQL as in production
	$(BIN)/python -m pytest --dagster-storage=postgres -m "dagster and not long" -n 3 --dist worksteal
	$(BIN)/python -m pytest --dagster-storage=postgres -m "dagster and long"

bench: setup  ## the figures of docs/acceptance.md
	$(BIN)/python -m benchmarks

release: setup  ## wheel, sdist, SBOM, licences and audit, in dist/
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[release]'
	scripts/release

stack-up: setup  ## the embedded databases alone
	$(BIN)/vector-pipeline stack up

stack-down: setup  ## ends the embedded databases; their data stay
	$(BIN)/vector-pipeline stack down

clean:  ## ends the embedded databases and deletes them, Dagster's runs and all caches; .venv stays
	@if [ -e $(INSTALLED) ]; then $(BIN)/vector-pipeline stack down; fi
	rm -rf .stack .dagster site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
