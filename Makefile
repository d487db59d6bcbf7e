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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "make train CONFIG=configs/acd.py:smoke ARGS='--workdir=runs/mine --config.train.batch_size=8'"
	@echo "make env EXTRAS=test,cuda12    for an NVIDIA GPU; cuda13 and tpu likewise"

.PHONY: env
env: $(INSTALLED)  ## creates .venv from constraints.txt, again when that or pyproject.toml changes

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
# By file, so that what a file's tests share is compiled once.
test: lint  ## all checks: lint, then the tests
	@$(RUN) pytest -n 2 --dist loadfile

PARITY := .venv-parity

.PHONY: parity
parity: $(PARITY)/.installed  ## compares with PyTorch and its libraries, in an environment of their own
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

PLAN := .venv-plan

.PHONY: plan-check
plan-check: $(PLAN)/.installed  ## compiles a toy network with the TPU compiler, which it installs; takes some minutes
	@$(PLAN)/bin/python -m pytest tests/planner/tpu_test.py

$(PLAN)/.installed: pyproject.toml constraints.txt
	$(check-python)
	@echo "Installing the TPU compiler and this project into $(PLAN); the first time takes several minutes."
	@$(PYTHON) -m venv --clear --without-pip $(PLAN)
	@set -o pipefail; $(PYTHON) -m pip --python $(PLAN)/bin/python --disable-pip-version-check \
	  install --progress-bar off -c constraints.txt pytest -e '.[plan]' \
	  | { grep --line-buffered -oE '^(Collecting [^][ <>=!~;]+|Installing collected packages)' || true; }
	@touch $@

DOCS := .venv-docs

.PHONY: docs
docs: $(DOCS)/.installed  ## builds the site of the documentation in site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict
	@echo "The documentation is site/index.html."

# The reference is read from the source, which is not imported: JAX is not needed.
$(DOCS)/.installed: docs/requirements.txt
	$(check-python)
	@$(PYTHON) -m venv --clear --without-pip $(DOCS)
	@set -o pipefail; $(PYTHON) -m pip --python $(DOCS)/bin/python --disable-pip-version-check install --quiet \
	  --progress-bar off -r docs/requirements.txt
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
format: env  ## fixes style
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

OLDEST ?= python3.11
NEWER ?= python3.12
LOWEST := .venv-lowest

# $(call check-version,PYTHON,MINOR,VARIABLE)
check-version = @[[ $$($(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) == $(2) ]] || { \
	echo "$(1) is missing or is not Python $(2); name one: make $(MAKECMDGOALS) $(3)=/path/to/python$(2)" >&2; exit 1; }

# Some projects leave the oldest Python behind: where its newest release differs, both pins stand there with a marker.
.PHONY: constraints
constraints:  ## regenerates constraints.txt from the newest releases for Python 3.11 (OLDEST) and 3.12 (NEWER)
	$(call check-version,$(OLDEST),3.11,OLDEST)
	$(call check-version,$(NEWER),3.12,NEWER)
	@set -euo pipefail; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	pins() { \
	  "$$1" -m venv --without-pip "$$fresh/venv-$$2"; \
	  local pip=("$$1" -m pip --python "$$fresh/venv-$$2/bin/python" --disable-pip-version-check); \
	  "$${pip[@]}" install --quiet '.[test]'; \
	  "$${pip[@]}" freeze --exclude sar2opt-jax > "$$fresh/$$2"; \
	}; \
	pins $(OLDEST) oldest; pins $(NEWER) newer; \
	if grep -n ' @ ' "$$fresh/oldest" "$$fresh/newer" >&2; then echo "These are not names and versions." >&2; exit 1; fi; \
	{ grep '^#' constraints.txt; awk -F == ' \
	  NR == FNR { oldest[$$1] = $$2; next } \
	  { newer[$$1] = $$2 } \
	  END { \
	    for (name in oldest) \
	      print name "==" oldest[name] ((name in newer) && newer[name] == oldest[name] ? "" : "; python_version < \"3.12\""); \
	    for (name in newer) \
	      if (!(name in oldest) || newer[name] != oldest[name]) print name "==" newer[name] "; python_version >= \"3.12\""; \
	  }' "$$fresh/oldest" "$$fresh/newer" | LC_ALL=C sort -f; } > "$$fresh/constraints"; \
	cp "$$fresh/constraints" constraints.txt

# Warnings are no errors here: what the oldest releases call is deprecated in the newest ones of what they need in turn.
.PHONY: lowest
lowest:  ## installs the oldest releases that pyproject.toml allows, on Python 3.11 (OLDEST), and runs part of the tests
	$(call check-version,$(OLDEST),3.11,OLDEST)
	@echo "Installing the oldest releases into $(LOWEST); this takes a few minutes."
	@set -euo pipefail; $(OLDEST) -m venv --clear --without-pip $(LOWEST); \
	grep -oE '"[A-Za-z][A-Za-z0-9_-]*>=[0-9.]+"' pyproject.toml | tr -d '"' | sed 's/>=/==/' | sort -u > $(LOWEST)/lowest.txt; \
	$(OLDEST) -m pip --python $(LOWEST)/bin/python --disable-pip-version-check install --quiet --progress-bar off \
	  -c $(LOWEST)/lowest.txt -e '.[fast,lpips]' pip hatchling pytest pytest-xdist
	@$(LOWEST)/bin/python -m pytest -n 2 -o filterwarnings=default tests/cli tests/data tests/engine/checkpoint_test.py \
	  tests/export_test.py tests/inference_test.py tests/interop tests/models tests/report/report_test.py \
	  tests/stages tests/tfds_builders tests/wheel_test.py

.PHONY: clean
clean:  ## removes the environments and caches; runs/ stays
	rm -rf $(VENV) $(PARITY) $(PLAN) $(DOCS) $(LOWEST) site .jax_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +
