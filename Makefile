# `make` lists what can be done. Needs Python 3.11 or newer with pip: make train PYTHON=python3.12 names another one.

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
EXTRAS ?= test
CONFIG ?= configs/acd.py
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed-$(EXTRAS)

.PHONY: help
help:  ## lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "make train CONFIG=configs/acd.py:smoke ARGS='--workdir=runs/mine --config.train.batch_size=8'"
	@echo "make env EXTRAS=test,cuda12    for an NVIDIA GPU; cuda13 and tpu likewise"

.PHONY: env
env: $(INSTALLED)  ## makes .venv from constraints.txt, again when that or pyproject.toml changes

# pip of $(PYTHON) installs into .venv, so that a Python without ensurepip, such as Debian's, does as well.
define check-python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is missing or older than 3.11; name a newer Python: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	  exit 1; }
endef

$(INSTALLED): pyproject.toml constraints.txt
	$(check-python)
	@echo "Installing into $(VENV); the first time takes a few minutes."
	@$(PYTHON) -m venv --without-pip $(VENV)
	@set -o pipefail; $(PYTHON) -m pip --python $(VENV)/bin/python --disable-pip-version-check \
	  install --progress-bar off -c constraints.txt pip -e '.[$(EXTRAS)]' \
	  | { grep --line-buffered -oE '^(Collecting [^][ <>=!~;]+|Installing collected packages)' || true; }
	@touch $@

.PHONY: train
train: env  ## trains and evaluates CONFIG (the whole paper in small), with ARGS
	@$(RUN) sar2opt_jax.main --config=$(CONFIG) $(ARGS)

.PHONY: test
test: lint  ## all checks: lint, then the tests
	@$(RUN) pytest -n 2

PARITY := .venv-parity

.PHONY: parity
parity: $(PARITY)/.installed  ## compares with PyTorch and its libraries, which it installs into an environment of their own
	@$(PARITY)/bin/python -m pytest tests/parity/*_parity.py

# PyTorch first and alone: it is the largest by far, and what else is there shall not choose its build. torch-fidelity and
# lpips ask for torchvision, whose pretrained networks they would download: tests/parity/torch_metrics.py stands in for it.
$(PARITY)/.installed: pyproject.toml constraints.txt tests/parity/requirements.txt
	$(check-python)
	@echo "Installing PyTorch, what is compared with and this project into $(PARITY); the first time takes several minutes."
	@$(PYTHON) -m venv --clear --without-pip $(PARITY)
	@set -o pipefail; install() { $(PYTHON) -m pip --python $(PARITY)/bin/python --disable-pip-version-check \
	  install --progress-bar off -c constraints.txt -c tests/parity/requirements.txt "$$@" \
	  | { grep --line-buffered -oE '^(Collecting [^][ <>=!~;]+|Installing collected packages)' || true; }; }; \
	install torch && install --no-deps torch-fidelity lpips && \
	grep -vE '^(torch-fidelity|lpips)==' tests/parity/requirements.txt > $(PARITY)/requirements.txt && \
	install -r $(PARITY)/requirements.txt pytest -e '.[lpips]'
	@touch $@

.PHONY: soak
soak: env  ## kills, damages and fills disks for about twenty minutes, then writes docs/reliability.md
	@$(VENV)/bin/python tests/faults/soak.py $(ARGS)

.PHONY: lint
lint: env  ## style and types
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) basedpyright --pythonpath $(VENV)/bin/python

.PHONY: format
format: env  ## mends style
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

.PHONY: constraints
constraints:  ## makes constraints.txt anew from the newest releases
	$(check-python)
	@set -euo pipefail; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(PYTHON) -m venv --without-pip "$$fresh"; \
	pip() { $(PYTHON) -m pip --python "$$fresh/bin/python" --disable-pip-version-check "$$@"; }; \
	pip install --quiet '.[test]'; \
	pip freeze --exclude sar2opt-jax > "$$fresh/pins"; \
	if grep -n ' @ ' "$$fresh/pins" >&2; then echo "These are not names and versions." >&2; exit 1; fi; \
	{ grep '^#' constraints.txt; cat "$$fresh/pins"; } > "$$fresh/constraints"; \
	cp "$$fresh/constraints" constraints.txt

.PHONY: clean
clean:  ## removes the environments and caches; runs/ stays
	rm -rf $(VENV) $(PARITY) .jax_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +
