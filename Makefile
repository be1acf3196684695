# Two commands matter: `make demo` and `make test`. Both work from a clean clone.
# Needs: Python >= 3.11, make, a C compiler.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check lint types firmware-test bench format clean venv help

help:
	@echo "make demo    start a farm of virtual boards, evaluate the example circuits, print results, stop"
	@echo "make test    install what it needs and run every test"
	@echo "make check   the quick part: ruff, mypy, layers, firmware under sanitizers, fast tests"
	@echo "make bench   print the figures of docs/performance.md for this machine"
	@echo "make venv    the virtualenv alone, in $(VENV)"

venv: $(STAMP)

# Installed again whenever what is installed, or the firmware that is compiled with it, has changed.
$(STAMP): pyproject.toml setup.py $(wildcard firmware/core/*.[ch] firmware/apps/*.[ch] firmware/ports/host/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit("icefarm needs Python 3.11 or newer; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[farm,test]'
	touch $@

demo: venv
	$(BIN)/python examples/demo.py

test: check
	$(BIN)/python -m pytest -m integration

check: lint types firmware-test
	$(BIN)/python -m pytest -m 'not integration'

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: venv
	$(BIN)/mypy

firmware-test:
	$(MAKE) -C firmware test

bench: venv
	$(BIN)/python -m bench

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	$(MAKE) -C firmware clean
