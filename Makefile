# The front door. Every target makes the virtual environment it needs.
PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LABEL_VENV := .venv-monailabel
LABEL_STAMP := $(LABEL_VENV)/.installed
# files of tests run side by side in this many processes
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 30
# one thread a test process: small tensors gain nothing from more, and timings stay steady
export OMP_NUM_THREADS ?= 1
# tests rewritten by pytest are compiled once, not by every process of every suite
export PYTHONDONTWRITEBYTECODE =

.PHONY: help install demo test test-slow test-gpu check format docs bench bench-study soak clean
.PHONY: monailabel test-monailabel test-install

help:
	@echo "make demo       pre-train and fine-tune on synthetic CT, with intervals and a report in runs/demo (some thirty minutes)"
	@echo "make test       the test suite without slow and GPU tests"
	@echo "make test-slow  the slow tests: real runs, several processes, paper size"
	@echo "make test-gpu   the tests that need CUDA"
	@echo "make monailabel       MONAI Label's own environment, for python -m monai_cl monailabel"
	@echo "make test-monailabel  its end-to-end test, on a loopback port"
	@echo "make test-install     the wheel, and a bundle's list of packages, in clean environments (docs/clean_install.md)"
	@echo "make check      lint, format, types"
	@echo "make docs       the documentation in site/, to open without a network"
	@echo "make bench      the data engine beside its peers (half an hour), in an environment of its own"
	@echo "make bench-study  the low-label study on synthetic CT (hours on two cores)"
	@echo "make soak       30 minutes of random kills, resumes and corruptions (docs/robustness.md)"
	@echo "make clean      remove environments, caches and runs"

install: $(STAMP)

$(STAMP): setup.cfg setup.py pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m monai_cl demo --output runs/demo

test: $(STAMP)
	$(PYTEST)

test-slow: $(STAMP)
	$(PYTEST) -m "slow and not gpu"

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu

monailabel: $(LABEL_STAMP)

# torch with what it needs (CUDA's libraries, in that build); the rest as listed, without sam2, which MONAI Label asks for
$(LABEL_STAMP): requirements-monailabel.txt setup.cfg setup.py
	test -x $(LABEL_VENV)/bin/python || $(PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_VENV)/bin/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(LABEL_VENV)/bin/python -m pip install --quiet -c requirements-monailabel.txt torch torchvision
	$(LABEL_VENV)/bin/python -m pip install --quiet --no-deps -r requirements-monailabel.txt
	$(LABEL_VENV)/bin/python -m pip install --quiet --no-deps -e .
	touch $(LABEL_STAMP)

test-monailabel: $(STAMP) $(LABEL_STAMP)
	$(BIN)/python -m pytest -m monailabel

test-install:
	$(PYTHON) -m tests.install

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# the peers bring packages that nothing else here needs: they have an environment of their own
bench: $(BENCH_VENV)/.installed
	$(BENCH_VENV)/bin/python benchmarks/engine_speed.py --output benchmarks/results/engine

$(BENCH_VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	$(BENCH_VENV)/bin/python -m pip install --quiet --no-deps -c constraints.txt nnunetv2 acvl-utils
	touch $(BENCH_VENV)/.installed

bench-study: $(STAMP)
	$(BIN)/python -m monai_cl study run low_label_synthetic --output runs/low_label --workers 2
	$(BIN)/python -m monai_cl study table low_label_synthetic --output runs/low_label

soak: $(STAMP)
	$(BIN)/python -m tests.soak --minutes 30 --output runs/soak

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(LABEL_VENV) build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
