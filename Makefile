# make demo | test | check: each sets up what it needs. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
# Test processes side by side: one more than two cores, since many tests wait for servers.
WORKERS ?= 3
# What the fast lane takes of the simulation's tests.
SAMPLES := $(addprefix tests/simulation/test_,simulate.py loop.py auditor.py ledger_machine.py shop_contract.py)

# What Python compiles is kept: a stack starts five processes, and without that each compiles every module it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-long check audit format lock notebooks lab clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

setup: $(STAMP) ## build .venv with everything in it, exactly as locked

# uv, itself as locked, installs in seconds what takes pip minutes; pip does where uv cannot.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Holdfast needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/# via/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock || echo 'no uv here, pip will do'
	if test -x $(BIN)/uv; then \
	  $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock; \
	fi
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@sh scripts/system-packages.sh stores $(BIN)/python
	@touch $@

demo: setup ## boot, seed, sell, audit, measure: runs/demo/report.html
	$(BIN)/holdfast demo

# pytest exits with 5 where ARGS picks no test of a lane.
PICKED = || test $$? = 5

test: setup ## the whole test suite against real servers; ARGS="-k name" picks
	@sh scripts/system-packages.sh tests
	$(BIN)/pytest -n $(WORKERS) -m "not alone" --junitxml runs/tests/together.xml $(ARGS) $(PICKED)
	$(BIN)/pytest -m alone --junitxml runs/tests/alone.xml $(ARGS) $(PICKED)
	$(BIN)/python scripts/durations.py runs/tests

test-fast: setup ## the lane without servers, under a minute
	HOLDFAST_TESTS=fast $(BIN)/pytest -n auto -m "not server and not slow and not alone" $(ARGS) tests/unit tests/test_*.py $(SAMPLES)

test-long: setup ## the promised sizes: kills, torture, seeds; takes hours
	@sh scripts/system-packages.sh tests
	HOLDFAST_TESTS=long $(BIN)/pytest -m "long_form or long_only" $(ARGS)

check: setup ## style, types, import ladder, security lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/bandit -q -c pyproject.toml -r service workloads benchmarks

audit: setup ## bill of materials, audit of the lock; ARGS=--online asks for known vulnerabilities
	$(BIN)/python scripts/supply_chain.py --sbom runs/sbom.json $(ARGS)

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock

notebooks: setup ## execute the notebooks at full size, from their scripts
	$(BIN)/python scripts/notebooks.py

lab: setup ## open the notebooks in the browser
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean: ## remove everything that was made here, the data of `holdfast up` included
	rm -rf $(VENV) .holdfast runs build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
