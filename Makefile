# Two commands for a newcomer: `make run` and `make test`. Everything lives in .venv.
PYTHON ?= python3
BIN := .venv/bin

# One thread per process: the engine's own processes share the cores, and contended BLAS threads are far slower.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: run test dft lint check clean

run: .venv/.installed
	$(BIN)/aldesign run campaigns/quickstart.yaml

test: .venv/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

# First principles: GPAW compiles, as C++, against libxc and a BLAS: `apt-get install g++ libxc-dev libopenblas-dev`.
# Each calculation is one process: MPI is switched off, for its compiler may be there without its headers.
dft: .venv/.installed
	printf 'mpi = False\ncompiler = "g++"\nlibraries = ["xc", "blas"]\n' > .venv/gpaw_siteconfig.py
	GPAW_CONFIG=$(CURDIR)/.venv/gpaw_siteconfig.py CC=g++ $(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dft]"
	$(BIN)/python -c "from aldesign.dft.setups import missing; import sys; sys.exit(missing())"

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: .venv/.installed
	for campaign in campaigns/*.yaml; do ALDESIGN_MP=$${ALDESIGN_MP:-tests/data/mp} ALDESIGN_RUN=$${ALDESIGN_RUN:-tests/data/run} $(BIN)/aldesign check $$campaign || exit 1; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@
