# Everything a newcomer or CI does. `make run` and `make test` set up what they need.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup run test lint types contracts e2e bench soak migrate lock audit screenshots

help: ## show the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | column -t -s '	'

$(STAMPS)/python: requirements-dev.lock
	@command -v $(PYTHON) >/dev/null || { echo "zoobatch needs Python 3.11 with venv; set PYTHON=… if it has another name" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned Python packages"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/assets: $(STAMPS)/python assets/package-lock.json assets/build.py
	@echo "Building the front-end assets"
	@$(BIN)/python assets/build.py
	@touch $@

setup: $(STAMPS)/python $(STAMPS)/assets ## prepare everything, start nothing
	@$(BIN)/python manage.py prepare

run: setup ## start web, worker, beat and the local Azure
	@exec $(BIN)/python manage.py up

migrate: $(STAMPS)/python ## bring the database up to date
	@$(BIN)/python manage.py migrate

test: $(STAMPS)/python $(STAMPS)/assets ## run the tests that need no browser
	$(BIN)/python -m pytest -m "not browser" -n 2 --dist loadgroup $(ARGS)

e2e: $(STAMPS)/python $(STAMPS)/assets ## run the browser tests in Debian's Chromium
	$(BIN)/python -m pytest -m browser -n 2 --dist loadfile $(ARGS)

lint: $(STAMPS)/python ## style, format, missing migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python manage.py makemigrations --check --dry-run

types: $(STAMPS)/python ## mypy, strict
	$(BIN)/mypy

contracts: $(STAMPS)/python ## who may import whom
	$(BIN)/lint-imports

audit: $(STAMPS)/python ## known vulnerabilities of the pinned packages
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements.lock

bench: $(STAMPS)/python $(STAMPS)/assets ## measure; prints ratios within one run
	$(BIN)/python -m tests.bench

soak: $(STAMPS)/python $(STAMPS)/assets ## what takes longer than CI allows
	$(BIN)/python -m tests.soak

screenshots: $(STAMPS)/python ## picture every page of a running demo: make screenshots PASSWORD=… [URL=…] [FOLDER=…]
	@test -n "$(PASSWORD)" || { echo "PASSWORD is needed: the one that make run has printed" >&2; exit 1; }
	$(BIN)/python -m tests.screenshots "$(PASSWORD)" $(if $(URL),--url "$(URL)") $(if $(FOLDER),--folder "$(FOLDER)")

lock: $(STAMPS)/python ## pin the dependencies anew: names, versions and hashes only
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -c requirements.lock -o requirements-dev.lock
