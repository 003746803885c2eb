# Needs Python 3.11 or later and make. Everything else goes into .venv.
PYTHON ?= python3
INSTANCE ?= instances/rubin_ultra.yaml

BIN := .venv/bin
INSTALLED := .venv/.installed
TESTABLE := .venv/.installed-test

BROWSER := chromium chromium-driver

.PHONY: help solve test browser clean

help:
	@echo "make solve   solve $(INSTANCE); another one with INSTANCE=path"
	@echo "make test    lint, types and tests"
	@echo "make clean   remove the environment, builds and caches"

solve: $(INSTALLED)
	$(BIN)/hbmopt solve $(INSTANCE)

test: $(TESTABLE) browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pytest -q -n 2

# Pages are tested in Chromium, which pip does not have. Without it those tests fail, and say so.
browser:
	@command -v chromedriver >/dev/null && exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	install="$$root apt-get install -y -qq --no-install-recommends $(BROWSER)"; \
	if command -v apt-get >/dev/null && $$root true 2>/dev/null; then \
	  $$install >/dev/null 2>&1 || { $$root apt-get update -qq && $$install >/dev/null; }; \
	fi; \
	command -v chromedriver >/dev/null || echo "the tests of pages need a browser: install $(BROWSER)" >&2

# The stamps hold until pyproject.toml changes, so that a second run does not install again.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is too old: Python 3.11 or later is needed; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(INSTALLED): pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(TESTABLE): pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(INSTALLED)

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf optimizer/*.egg-info *.egg-info
	find optimizer models tests -name __pycache__ -type d -prune -exec rm -rf {} +
