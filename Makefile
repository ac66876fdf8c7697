# One verb per chore; `make` alone lists them. Needs Python >= 3.11 and make, and brings the rest:
# Python packages and, where the machine has none, Node.js into .venv; npm's into node_modules.

PYTHON ?= python3

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DEFAULT_TIMEOUT ?= 60
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export npm_config_update_notifier := false

INSTALL := .venv/bin/python -m pip install --quiet --constraint constraints.txt
RUNTIME := .venv/.runtime
DEVELOPMENT := .venv/.development
NODE := .venv/.node
PAGE := server/page/index.html
PAGE_PACKAGES := frontend-demo/node_modules/.package-lock.json
CLIENTS := tests/node/node_modules/.package-lock.json
BENCH := .venv/.bench
PEER_PACKAGES := tests/bench/peers/node_modules/.package-lock.json
PEER_VENV := build/bench/venv/.installed
PAGE_SOURCES := $(shell find frontend-demo \( -name node_modules -o -name __pycache__ -o -name "*.py" \) -prune -o -type f -print)

# $(call attempt,TARGET,SENTENCE): go on without TARGET, except in CI.
attempt = @$(MAKE) --no-print-directory $(1) || { test "$$CI" != true && echo "$(2)"; }

.DEFAULT_GOAL := help
.PHONY: help run test bench check page browser clients format pins clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

run: $(RUNTIME) ## serve the demo on http://127.0.0.1:8000, documents in ./data
	$(call attempt,page,The page could not be built: serving without a fresh one (see above).)
	exec .venv/bin/cowrite serve

test: $(DEVELOPMENT) ## run every test
	$(call attempt,page,The page could not be built: its tests are skipped (see above).)
	$(call attempt,clients,The Node.js clients could not be installed: their tests are skipped (see above).)
	$(call attempt,browser,No browser: its tests are skipped (see above).)
	.venv/bin/python -m tests.support.lanes

bench: $(BENCH) $(CLIENTS) $(PEER_PACKAGES) $(PEER_VENV) ## measure beside the peers; a part: SCENARIOS="fan" PEERS="hocuspocus" REPEATS=1
	.venv/bin/python -m tests.bench $(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(if $(PEERS),--peers $(PEERS)) $(if $(REPEATS),--repeats $(REPEATS)) $(if $(RESUME),--resume)

check: $(DEVELOPMENT) ## check format, lint and types
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy

format: $(DEVELOPMENT) ## format the code and sort the imports
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

page: $(PAGE) ## build the page into server/page

clients: $(CLIENTS)

browser: $(DEVELOPMENT)
	@.ci/get_browser.sh

pins: $(DEVELOPMENT) ## upgrade all Python packages and pin what was installed
	.venv/bin/python -m pip install --upgrade --upgrade-strategy eager --editable '.[dev,node,bench]'
	.venv/bin/python -m pip freeze --exclude-editable >constraints.txt

clean: ## remove all that make installed or built; documents in ./data stay
	rm -rf .venv build dist server/page frontend-demo/node_modules tests/node/node_modules tests/bench/peers/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find crdt server tests frontend-demo -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Cowrite needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv || \
		{ rm -rf .venv; echo "No virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }

$(RUNTIME): pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing Python packages into .venv (a minute on a slow network)."
	@$(INSTALL) --editable .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	@echo "Installing development packages into .venv."
	@$(INSTALL) --editable '.[dev]'
	@touch $@

$(BENCH): $(DEVELOPMENT)
	@echo "Installing what draws the plots into .venv."
	@$(INSTALL) --editable '.[dev,bench]'
	@touch $@

# Of its own: what the peer is pinned to must not bind Cowrite.
$(PEER_VENV): tests/bench/peers/requirements.txt | .venv/bin/python
	@echo "Installing pycrdt-websocket into $(@D)."
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(NODE): | $(RUNTIME)
	@.ci/get_node.sh
	@touch $@

$(PAGE_PACKAGES) $(CLIENTS) $(PEER_PACKAGES): %/node_modules/.package-lock.json: %/package.json %/package-lock.json | $(NODE)
	cd $* && npm ci --no-audit --no-fund

$(PAGE): $(PAGE_PACKAGES) $(PAGE_SOURCES)
	cd frontend-demo && npm run build
	@touch $@
