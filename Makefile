# GNU make 3.81 or newer; Linux, macOS, and Windows through WSL 2. `make help` lists what there is.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo drill test test-long lint crds docs chart alerts page e2e test-freqtrade cluster simulate simulate-mutants kill bench bench-detect bench-ledger bench-heartbeat bench-gate lock clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(READY): requirements/dev.txt pyproject.toml
	@echo "accountsync: setting up the virtual environment in $(VENV) (once, about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit("accountsync needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## the main job, end to end: drift, pause, resumed; plan, approved, done (KEEP=1 leaves it running)
	@$(BIN)/python -m tests.support.demo

drill: $(READY) ## the fire drill: known faults before the real judgement; evidence in .artifacts/ (no network, 2 s)
	@$(BIN)/accountsync drill

cluster: $(READY) ## a real Kubernetes API server to play with; prints its KUBECONFIG, ends on Ctrl-C
	@$(BIN)/python -m tests.support.controlplane

test: lint ## everything that a change must pass
	@$(BIN)/python -m tests.support.tools prometheus alertmanager
	@$(BIN)/python -m tests

test-long: $(READY) ## tests that take too long for `make test`: the demo without its drift, and without its approval, has to fail
	@$(BIN)/python -m pytest -m long tests

lint: $(READY) ## ruff, mypy, import contracts, generated files up to date; the chart by Helm 3 and 4, kube-score, a real API server
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/accountsync crds --check crds
	@$(BIN)/accountsync docs --check docs
	@$(BIN)/python -m tests.support.tools k8s helm3 helm4 kube-score monitoring-crds
	@$(BIN)/python -m tools.chart --check
	@$(BIN)/python -m pytest -q -m lint tests/chart

crds: $(READY) ## write the CRDs from the models into crds/
	@$(BIN)/accountsync crds --write crds

docs: $(READY) ## write the generated pages into docs/
	@$(BIN)/accountsync docs --write docs

chart: $(READY) ## write the chart's generated files and deploy/install.yaml
	@$(BIN)/python -m tools.chart --write

alerts: $(READY) ## promtool: check the rules, and unit tests for each alert
	@$(BIN)/python -m tests.support.tools prometheus
	@$(BIN)/python -m pytest tests/alerts

page: $(READY) ## drift, a real Prometheus, a real Alertmanager, one page, at a tenth of the real times
	@$(BIN)/python -m tests.page

e2e: $(READY) ## the image, the chart and an account on a real node: KUBECONFIG, kind, or a node of its own (needs root)
	@$(BIN)/python -m tests.e2e

test-freqtrade: $(READY) ## the real freqtrade trades on the simulator, watched, paused and told what it missed (800 MB once, in the cache)
	@$(BIN)/python -m tests.freqtrade

simulate: $(READY) ## the seeded simulation of the judgement: SEEDS=2000 worlds, or one of them, told: SEED=1234
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000) --first $(or $(FIRST),0))

simulate-mutants: $(READY) ## deliberate bugs in the shipped code, each of which the simulation has to notice
	@$(BIN)/python -m tests.simulation.mutants

kill: $(READY) ## kill -9, and SIGSTOP past the Lease, around every port call from a plan to its end (JOBS=4, 40 minutes)
	@$(BIN)/python -m tests.kill --jobs $(or $(JOBS),4)

bench: $(READY) ## CPU time and memory, each beside a plain baseline, in a minute; nothing is asserted
	@$(BIN)/python -m tests.bench

bench-detect: $(READY) ## detection on 100 to 1,000,000 orders beside a bare join, deepdiff and polars; writes JSON
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m tests.bench.detection

bench-gate: $(READY) ## the gate: from a pause to the bot, an answer's cost beside a constant, and the process's memory
	@$(BIN)/python -m tests.bench.gate

bench-heartbeat: $(READY) ## what 5,000 heartbeats for gates cost operator, API server and etcd, beside bare Lease PUTs (ACCOUNTS=5000)
	@$(BIN)/python -m tests.bench.heartbeats --accounts $(or $(ACCOUNTS),5000)

bench-ledger: $(READY) ## 100,000 open slices of a real PostgreSQL against 1,000 positions: seconds and peak memory, beside pandas
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m tests.bench.ledger

lock: $(READY) ## resolve the dependencies anew and write requirements/
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade pyproject.toml --group dev -o requirements/dev.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade --group bench -o requirements/bench.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade --group freqtrade -o requirements/freqtrade.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade --group go -o requirements/go.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.txt --group build -o requirements/build.txt

clean: ## remove the virtual environment and what tools left (not the cache of built binaries)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
