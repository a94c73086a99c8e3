# The whole interface of the project; docs/ says more about each.
PYTHON ?= python3
BIN := .venv/bin
TORCH := 2.13.0

.PHONY: run setup test test-system check format lock bench report study clean

run: setup  ## the whole study, on whatever hardware is here
	$(BIN)/snakemake --cores all --resources gpu=1

setup: .venv/installed  ## .venv with everything that requirements.lock pins

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==$(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

test: setup  ## all tests that need nothing but the environment
	$(BIN)/python -m pytest

test-system: setup  ## tests that need a browser, a compiler or Slurm
	$(BIN)/python -m pytest -m system

check: setup  ## format, lint, types, workflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check --compact-diff Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

format: setup  ## put code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

lock:  ## renew requirements.lock from pyproject.toml, one version for all Pythons
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	    --constraint constraints.txt --no-emit-package torch --no-header --no-annotate --no-emit-index-url \
	    --quiet --upgrade --output-file requirements.lock

bench: setup  ## measure, side by side; results in bench/results
	for script in bench/*.py; do $(BIN)/python $$script; done

report: setup  ## Snakemake's own report, with run times: report.html, not versioned
	$(BIN)/snakemake --report report.html

study:  ## make a named study the params.yaml: make study NAME=quick
	cp studies/$(NAME).yaml params.yaml

clean:  ## put away what can be made again without training
	rm -rf logs scratch dvc_plots report.html
