# Needs Python 3.11 or later and make. Everything else goes into .venv, in the versions of
# requirements.lock.
PYTHON ?= python3
INSTANCE ?= instances/rubin_ultra.yaml

# The first of these that runs.
first = $(shell for one in $(1); do "$$one" -c "" 2>/dev/null && echo "$$one" && exit; done)
NEWEST_PYTHON ?= $(or $(call first,python3.14 python3.13 python3.12),$(PYTHON))
OLDEST_PYTHON ?= $(or $(call first,python3.11),$(PYTHON))

BIN := .venv/bin
INSTALLED := .venv/.installed
TESTABLE := .venv/.installed-test
# Modules are compiled as they are first imported, which most of those of all packages never are.
PIP := -m pip install --quiet --disable-pip-version-check --no-compile

BROWSER := chromium chromium-driver

# Tests start hundreds of processes; each would compile anew what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help solve environment test test-newest test-lowest compatibility lock browser clean mypy pyright \
  environment-newest environment-lowest try-newest try-lowest

help:
	@echo "make solve          solve $(INSTANCE); another one with INSTANCE=path"
	@echo "make test           lint, types and tests"
	@echo "make test-newest    what users need, with the newest version of every package"
	@echo "make test-lowest    the same with the lowest versions that pyproject.toml allows"
	@echo "make compatibility  both"
	@echo "make lock           write requirements.lock anew, with the newest versions"
	@echo "make clean          remove the environments, builds and caches"

solve: $(INSTALLED)
	$(BIN)/hbmopt solve $(INSTANCE)

environment: $(TESTABLE)

test: environment browser
	@$(BIN)/python tests/environment.py requirements.lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory --jobs 2 mypy pyright
	$(BIN)/pytest -q -n 2 --dist worksteal

mypy:
	$(BIN)/mypy

pyright:
	$(BIN)/pyright --pythonpath $(BIN)/python

# Pages are tested in Chromium, which pip does not have. Without it those tests fail, and say so.
browser:
	@command -v chromedriver >/dev/null && exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	install="$$root apt-get install -y -qq --no-install-recommends $(BROWSER)"; \
	if command -v apt-get >/dev/null && $$root true 2>/dev/null; then \
	  $$install >/dev/null 2>&1 || { $$root apt-get update -qq && $$install >/dev/null; }; \
	fi; \
	command -v chromedriver >/dev/null || echo "the tests of pages need a browser: install $(BROWSER)" >&2

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is too old: Python 3.11 or later is needed; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

# The stamps hold until the versions change, so that a second run does not install again. What
# builds the package is installed first: pip would take the newest for an isolated build.
LOCKED := $(BIN)/python $(PIP) --constraint requirements.lock

$(INSTALLED): pyproject.toml requirements.lock | .venv/bin/python
	$(LOCKED) setuptools
	$(LOCKED) --no-build-isolation --editable .
	@touch $@

$(TESTABLE): pyproject.toml requirements.lock | .venv/bin/python
	$(LOCKED) setuptools
	$(LOCKED) --no-build-isolation --editable '.[test]'
	@touch $@ $(INSTALLED)

# Both environments are made anew each time: what is newest changes with time. They hold the package
# as users install it, what it needs, and pytest. What an earlier build left would be packed as well.
test-newest: environment-newest
	@$(MAKE) --no-print-directory try-newest

test-lowest: environment-lowest
	@$(MAKE) --no-print-directory try-lowest

environment-newest:
	@rm -rf build
	$(NEWEST_PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python $(PIP) --upgrade . pytest

try-newest:
	@.venv-newest/bin/python tests/environment.py newest
	.venv-newest/bin/pytest -q tests/compatibility

environment-lowest:
	@rm -rf build
	$(OLDEST_PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python tests/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python $(PIP) --constraint .venv-lowest/constraints.txt setuptools
	.venv-lowest/bin/python $(PIP) --constraint .venv-lowest/constraints.txt --no-build-isolation . pytest

try-lowest:
	@.venv-lowest/bin/python tests/environment.py lowest
	.venv-lowest/bin/pytest -q tests/compatibility

compatibility:
	@$(MAKE) --no-print-directory --keep-going test-newest test-lowest

# One version of each package for all Pythons and systems where there is one.
lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python $(PIP) uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	  --all-extras --upgrade pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv .venv-newest .venv-lowest .venv-lock
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf optimizer/*.egg-info *.egg-info
	find optimizer models tests -name __pycache__ -type d -prune -exec rm -rf {} +
