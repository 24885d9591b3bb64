# `make help` lists the targets.

PYTHON ?= python3
ARGS ?=
# pytest's own arguments: make test TESTS="tests/core -x"
TESTS ?=

VENV := .venv
BIN := $(VENV)/bin
# On a terminal pip shows what it fetches, and how far it is.
QUIET := $(if $(shell test -t 2 && echo yes),,-q)
PIP := $(BIN)/python -m pip install $(QUIET) --disable-pip-version-check -c constraints.txt
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
PINS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test coverage bench bench-long faults pictures slow frameworks lint style types contracts format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/ready ## run fivestep: make run ARGS="train digits-cnn --no-ui"
	@$(BIN)/fivestep $(ARGS)

# Threads that spin while they wait make torch's tests slower on a busy machine, never faster.
test coverage slow frameworks: export OMP_WAIT_POLICY := PASSIVE

test: lint ## linter, formatter, types, import contracts, then the tests
	$(BIN)/pytest -q -n 2 --dist worksteal $(TESTS)

coverage: $(VENV)/ready-test ## the tests again, and which lines they reach: takes nearly twice as long
	$(BIN)/pytest -q -n 2 --dist worksteal --cov --cov-report=term $(TESTS)

bench: $(VENV)/ready-test ## how fast it is, in one table of ratios: make bench ARGS="--only loop"
	$(BIN)/python tests/benchmarks $(ARGS)

bench-long: $(VENV)/ready-test ## ten million batches: memory, and what a picture costs at the end
	$(BIN)/python tests/benchmarks/long_run.py

pictures: $(VENV)/ready-test ## take README's pictures from the running program
	TEXTUAL_COLOR_SYSTEM=truecolor $(BIN)/python tests/pictures.py

faults: $(VENV)/ready-test ## every fault a run must survive, in full: make faults ARGS="--only F2"
	$(BIN)/python tests/faults $(ARGS)

slow: $(VENV)/ready-test ## the long campaigns: what each recipe promises, over three seeds
	$(BIN)/pytest -q -m slow $(TESTS)

frameworks: $(VENV)/ready-test ## watch a small training of each framework: installs them first
	@$(PIP) --no-build-isolation -e '.[frameworks]'
	$(BIN)/pytest -q -m slow tests/core/foreign/test_frameworks.py

lint: style types contracts ## the checks of `make test` without the tests

style: $(VENV)/ready-test ## ruff: rules and format
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .

# mypy refuses a folder name such as five-step for a package and cannot follow an editable
# install, so it gets the repository under its import name, through a link.
types: $(VENV)/ready-test ## mypy, strict
	@mkdir -p $(VENV)/types && ln -sfn ../.. $(VENV)/types/fivestep
	cd $(VENV)/types && ../bin/mypy --config-file ../../pyproject.toml --cache-dir ../mypy \
		-p fivestep.core -p fivestep.presets -p fivestep.tui

contracts: $(VENV)/ready-test ## import contracts: arrows only point down
	$(BIN)/lint-imports --cache-dir $(VENV)/import-linter

format: $(VENV)/ready-test ## put the code into shape
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and everything else that make and the tools have made
	rm -rf $(VENV) build dist *.egg-info .ruff_cache .pytest_cache .mypy_cache .hypothesis
	find core presets tui tests -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf __pycache__

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>/dev/null) || found="not here"; \
		echo "fivestep needs Python 3.11 or newer, and $(PYTHON) is $$found." \
			"Name another one: make PYTHON=python3.12 run" >&2; \
		exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Without an NVIDIA card PyTorch's CPU build is enough, a tenth as large. pip takes it by itself where
# its settings say where one lies; elsewhere uv, which knows that, is asked.
$(VENV)/ready-torch: $(VENV)/made constraints.txt
	@if [ "$$(uname)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1 \
		&& ! $(BIN)/python -m pip index versions torch 2>/dev/null | grep -qF '$(TORCH)+cpu'; then \
		echo "No NVIDIA card here: installing PyTorch's CPU build ..."; \
		$(PIP) uv && UV_HTTP_RETRIES=1 $(BIN)/uv pip install $(QUIET) --python $(BIN)/python --no-deps \
			--torch-backend=cpu torch==$(TORCH) \
		|| echo "PyTorch's CPU build can't be had: the default one comes with CUDA's gigabytes." >&2; \
	fi
	@touch $@

# The build tool is pinned like everything else, so the package is built with it, not in isolation.
$(VENV)/ready: $(VENV)/ready-torch $(PINS)
	@echo "Installing fivestep and PyTorch into .venv: some minutes, this once (PyTorch is large) ..."
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/ready-test: $(VENV)/ready
	@echo "Installing the test tools into .venv ..."
	@$(PIP) --no-build-isolation -e '.[test]'
	@touch $@
