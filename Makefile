# `make demo` and `make test` work on a fresh machine with Python 3.11 or later and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint quick audit install clean

demo: install
	$(BIN)/luigi --module pipelines Demo --outfolder demo
	@echo "The pictures are demo/*.png, the report is demo/evaluation/*.html; all products, each with"
	@echo "its record beside it:"
	@$(BIN)/skysieve status demo

test: install lint quick

install: $(VENV)/.installed

# The stamp is renewed only when an install has succeeded, so a broken one is repeated.
$(VENV)/.installed: pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive pipelines models io

quick: install
	$(BIN)/pytest -q -n 2 --dist loadfile

# Asks the database of known flaws at the package index about what is installed, from an environment of its own. It
# needs a network that reaches it; --strict: what nothing could be learnt about is an error.
audit: install
	test -x $(VENV)-audit/bin/python || $(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet "pip-audit>=2.9,<3"
	$(BIN)/pip freeze --exclude-editable | $(VENV)-audit/bin/pip-audit --strict --no-deps \
	    --disable-pip --requirement /dev/stdin

clean:
	rm -rf $(VENV) $(VENV)-audit demo build dist *.egg-info
