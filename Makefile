# Every target installs what it needs into .venv, .tools and node_modules, and is quick the second time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
BIN := .venv/bin
# Bytecode is kept whatever the environment says: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo up test check bench build artefact-code lock test-dynamodb-local clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

.venv/.installed: requirements.txt requirements-dev.txt pyproject.toml
	python3 -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements-dev.txt)"
	$(BIN)/uv pip sync --quiet --require-hashes --python $(PY) requirements-dev.txt
	$(BIN)/uv pip install --quiet --no-deps --python $(PY) --no-build-isolation --editable . 2>/dev/null \
	  || $(BIN)/uv pip install --quiet --no-deps --python $(PY) --editable .
	@touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.tools/sam/.installed: requirements-sam.txt .venv/.installed
	python3 -m venv .tools/sam
	$(BIN)/uv pip sync --quiet --require-hashes --python .tools/sam/bin/python requirements-sam.txt
	@touch $@

install: .venv/.installed node_modules/.installed  ## install what the other targets need

demo: install  ## a signup becomes a live tenant, told step by step
	$(BIN)/d1fleet demo

up: install  ## run the whole stack on this machine
	$(BIN)/d1fleet up

bench: install  ## measure beside the references; BENCH="--quick --only warm" for less
	$(PY) -m bench $(BENCH)

test: install  ## all tests: no cloud account, no credentials
	$(BIN)/pytest -q -n 3 --dist loadscope --no-loadscope-reorder tests
	npm run --silent test:worker

check: install .tools/sam/.installed  ## format, lint, types, import contracts, template lint
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	npm run --silent check:worker
	AWS_DEFAULT_REGION=us-east-1 $(BIN)/cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .tools/sam/bin/sam validate --lint

# What ships to Lambda, made the same for each function: SAM calls build-<LogicalId> with ARTIFACTS_DIR.
# The interpreter must be the runtime's very version (template.yaml), since the bytecode is part of the artefact:
# SAM dates every file 1980, so that Python would reject bytecode by timestamps and compile at each cold start.
BUILD_PYTHON ?= python3.11
BUILD_PLATFORM ?= manylinux2014_aarch64

build:  ## make the Lambda artefact in build/artefact
	rm -rf build/artefact
	mkdir -p build/artefact
	$(MAKE) --no-print-directory build-artefact ARTIFACTS_DIR=$(CURDIR)/build/artefact
	@du -sh build/artefact

build-%:
	@test -n "$(ARTIFACTS_DIR)" || { echo "ARTIFACTS_DIR is not set: run 'make build' or 'sam build'"; exit 1; }
	@$(BUILD_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "BUILD_PYTHON must be Python 3.11, the version of the Lambda runtime"; exit 1; }
	$(BUILD_PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
	  --no-compile --require-hashes --no-deps --only-binary=:all: --platform $(BUILD_PLATFORM) \
	  --implementation cp --python-version 3.11 --target "$(ARTIFACTS_DIR)" --requirement requirements.txt
	$(MAKE) --no-print-directory artefact-code ARTIFACTS_DIR="$(ARTIFACTS_DIR)" BUILD_PYTHON="$(BUILD_PYTHON)"

# Our own part, and bytecode for all. Unchecked-hash bytecode is used without a look at its source's date;
# -s and -p keep the build's folder out of it, so that all functions get the same bytes and one upload.
artefact-code:
	tar -c --exclude=__pycache__ functions shared worker/src | tar -x -C "$(ARTIFACTS_DIR)"
	rm -rf "$(ARTIFACTS_DIR)/bin"
	find "$(ARTIFACTS_DIR)" -name __pycache__ -prune -exec rm -rf {} +
	$(BUILD_PYTHON) -m compileall -q -f --invalidation-mode unchecked-hash \
	  -s "$(ARTIFACTS_DIR)" -p /var/task "$(ARTIFACTS_DIR)"

test-dynamodb-local: .venv/.installed  ## the state table's tests on moto and on AWS's own DynamoDB Local (Java, Maven)
	$(PY) tests/dynamodb_local/run.py

lock: .venv/.installed  ## write the locks anew from pyproject.toml and package.json
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras -c requirements.txt pyproject.toml -o requirements-dev.txt
	echo aws-sam-cli | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header - -o requirements-sam.txt
	# In an empty folder: with node_modules beside it, npm forgets the packages of other platforms.
	rm -rf build/lock && mkdir -p build/lock && cp package.json build/lock/
	cd build/lock && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
	cp build/lock/package-lock.json package-lock.json

clean:  ## remove everything that was installed or built
	rm -rf .venv .tools node_modules .d1fleet build .aws-sam
