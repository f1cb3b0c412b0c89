# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check format clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/vivant demo --output out/demo.mp4

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff format --check src tests tools examples integrations
	$(BIN)/ruff check src tests tools examples integrations
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format src tests tools examples integrations
	$(BIN)/ruff check --fix src tests tools examples integrations

clean:
	rm -rf $(VENV) out runs
