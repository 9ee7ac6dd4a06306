# Everything a person does with the checkout. Each target installs what it needs, once: Python packages into .venv,
# and pgbouncer from the system's packages. No target can reach an account at AWS or PlanetScale: see the exports below.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# One after the other, but what doesn't get into the other's way and is asked for together.
ifndef TOGETHER
.NOTPARALLEL:
endif

PYTHON ?= python3
BUILD := build
LINK := $(BUILD)/collections/ansible_collections/cloudpg/migration
REQUIREMENTS := requirements.txt tests/requirements.txt tests/unit/requirements.txt $(wildcard extensions/*/requirements.txt)

export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin
export LC_ALL := C.UTF-8
export PYTHONUNBUFFERED := 1
# Plugins of pytest are named in pyproject.toml; those found by chance leave links and caches in the checkout.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD := 1
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export AWS_CONFIG_FILE := /dev/null
export AWS_SHARED_CREDENTIALS_FILE := /dev/null
export AWS_EC2_METADATA_DISABLED := true
unexport AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION
unexport AWS_ENDPOINT_URL AWS_URL
unexport PLANETSCALE_API_URL PLANETSCALE_ORGANIZATION PLANETSCALE_SERVICE_TOKEN_ID PLANETSCALE_SERVICE_TOKEN

.PHONY: help demo test lint sanity molecule pytest test-long test-matrix chaos bench sandbox clean pgbouncer

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

demo: .venv/.ready $(LINK) pgbouncer  ## a whole migration on this machine: sandbox, live writes, cutover, proof
	@python extensions/demo

test: .venv/.ready $(LINK) pgbouncer  ## lint, sanity, molecule, then all tests (under 15 minutes on 2 cores)
	@echo "== lint, sanity and molecule beside each other: some minutes, then what each has said"
	@$(MAKE) --no-print-directory --jobs=3 --output-sync TOGETHER=yes lint sanity molecule
	@$(MAKE) --no-print-directory pytest

# antsibull-docs copies what it thinks git knows: without the ceiling it takes .venv for a part of the checkout.
lint: .venv/.ready $(LINK)  ## yamllint, ansible-lint (production), documentation, changelog, flake8
	@echo "== yamllint"; git ls-files -z '*.yml' '*.yaml' | xargs -0 yamllint --strict
	@echo "== ansible-lint"; ansible-lint --profile production --offline
	@echo "== antsibull-docs"; cd $(LINK) && GIT_CEILING_DIRECTORIES=$(CURDIR)/.venv antsibull-docs lint-collection-docs --plugin-docs .
	@echo "== antsibull-changelog"; antsibull-changelog lint
	@echo "== flake8"; flake8 plugins extensions molecule tests

sanity: .venv/.ready  ## ansible-test sanity on a copy of the tracked files
	@echo "== ansible-test sanity"
	@python tests/sanity/run.py

molecule: .venv/.ready $(LINK) pgbouncer  ## a scenario a path, on the sandbox, with live writes
	@echo "== molecule"
	@mkdir -p $(BUILD)
	@molecule test --all --no-command-borders 2>&1 | tee $(BUILD)/molecule.log \
	  || { echo "== what failed"; grep -aE -A 8 'fatal:|FAILED!|\[ERROR\]' $(BUILD)/molecule.log | tail -n 60; exit 1; }

# The tests wait for servers most of the time: more of them at once than there are cores, each with a sandbox of its own.
pytest: .venv/.ready $(LINK) pgbouncer  ## unit, integration and packaging tests
	@echo "== pytest"
	@python -m pytest -p xdist --numprocesses 4 --dist loadfile -m "not long"

test-long: .venv/.ready $(LINK) pgbouncer  ## what of the tests takes many minutes: whole migrations, aborts, faults, fleets
	@python -m pytest -p xdist --numprocesses 4 --dist loadfile -m long

test-matrix: .venv/.ready $(LINK)  ## the unit tests with other versions of ansible-core and amazon.aws
	@python tests/matrix/run.py

chaos: .venv/.ready $(LINK) pgbouncer  ## kills runs at every step and checks that nothing was lost (two hours; ROUNDS=path,sql plays only these)
	@python tests/chaos $(if $(ROUNDS),--only "$(ROUNDS)")

bench: .venv/.ready $(LINK) pgbouncer  ## measures what takes time, beside what else does it
	@python tests/bench

sandbox: .venv/.ready  ## starts the sandbox and prints its environment (`python extensions/sandbox down` stops it)
	@python extensions/sandbox up

clean:  ## stops the sandbox, removes all that was made here
	@[ ! -x .venv/bin/python ] || python extensions/sandbox down || true
	@echo "removing .venv, $(BUILD) and caches"
	@rm -rf .venv $(BUILD) .ansible .cache .hypothesis .pytest_cache tests/output
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A second call costs nothing until a requirements file changes.
.venv/.ready: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; say which with PYTHON=…" >&2; exit 1; }
	@case "$(CURDIR)" in *[[:space:]]*) echo "Ansible runs no modules below a path with blanks: move this" >&2; exit 1;; esac
	@echo "== installing Python packages into .venv (the first time takes some minutes)"
	@[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv \
	  || { echo "cannot make a virtual environment: install python3-venv" >&2; rm -rf .venv; exit 1; }
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(LINK):
	@mkdir -p $(@D)
	@ln -sfn ../../../.. $@

# The pooler comes only from the system's packages.
pgbouncer:
	@command -v pgbouncer >/dev/null && exit 0; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v apt-get >/dev/null && $$sudo true 2>/dev/null; then \
	  echo "== installing pgbouncer with apt-get"; \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq pgbouncer >/dev/null; \
	else \
	  echo "pgbouncer is missing and cannot be installed from here: install it (Debian: apt-get install pgbouncer)" >&2; \
	  exit 1; \
	fi
