# Every target makes its own .venv first; nothing here needs root (interop skips what it may not do).
PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

BIN := .venv/bin
READY := .venv/ready
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test check format bench interop soak

demo: $(READY)
	@$(BIN)/volgraph demo $(ARGS)

test: $(READY)
	@HYPOTHESIS_PROFILE=ci $(PYTEST) -q -n $(JOBS) -m "not interop and not soak" -rs $(ARGS)

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ARGS)

interop: $(READY)
	@HYPOTHESIS_PROFILE=ci $(PYTEST) -q -m interop -rs $(ARGS)

soak: $(READY)
	@HYPOTHESIS_PROFILE=soak $(PYTEST) -q -n $(JOBS) -m soak -rs -o faulthandler_timeout=3600 $(ARGS)

# Done again only when pyproject.toml changes.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "volgraph needs Python 3.11 or newer as '$(PYTHON)'; name another one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "'$(PYTHON)' lacks the module venv or ensurepip; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[cli,fast,test,dev]'
	@touch $@
