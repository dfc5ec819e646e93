# Everything starts here: `make run` to use LLMOpt, `make test` to check it.
SHELL := /bin/sh

# Any Python 3 can start the set-up; it looks for Python 3.11 itself and says how to install it.
STARTER := $(shell for name in python3.11 python3 python; do if $$name -c "import sys; sys.exit(sys.version_info[0] < 3)" >/dev/null 2>&1; then echo $$name; break; fi; done)
PYTHON := .venv/bin/python
# Where it is set, every process compiles all of our files again, and pytest rewrites every test.
export PYTHONDONTWRITEBYTECODE :=
# PYTEST_ARGS what pytest takes, for example PYTEST_ARGS="-k splits -x".
PYTEST_ARGS ?= -q -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help run setup setup-dev login dev check check-types check-rest test look bench kill-test fuzz requirements assets clean starter

help:
	@echo "make run           set everything up and run the main job on real data"
	@echo "make test          set up what the tests need and run them all"
	@echo "make login         print a new sign-in link for the running server"
	@echo "make setup         set up without starting"
	@echo "make dev           run with reload on change, without the main job"
	@echo "make check         linters, types, templates, module dependencies, syntax-tree tests"
	@echo "make look          check and photograph every page (var/look/)"
	@echo "make bench         measure"
	@echo "make kill-test     kill processes in the middle of the main job and compare the result"
	@echo "make fuzz          send the REST API what its document allows and forbids"
	@echo "make assets        compile the styles again (needs Node)"
	@echo "make requirements  export requirements.txt from pyproject.toml and constraints.txt"
	@echo "make clean         remove the environment and the caches; your data in var/ stays"

starter:
	@if [ -z "$(STARTER)" ]; then echo "LLMOpt needs Python 3.11 and found no Python 3. Debian, Ubuntu: sudo apt-get install python3.11 python3.11-venv."; exit 1; fi

setup: starter
	@$(STARTER) scripts/setup.py

setup-dev: starter
	@$(STARTER) scripts/setup.py --dev

run: starter
	@$(STARTER) scripts/setup.py --start
	@$(PYTHON) scripts/run.py

login:
	@if [ ! -x $(PYTHON) ]; then echo "LLMOpt is not set up here yet: make run"; exit 1; fi
	@$(PYTHON) manage.py login_link

dev: starter
	@$(STARTER) scripts/setup.py --dev --start
	@$(PYTHON) scripts/run.py --reload --no-quickstart

check: starter
	@$(STARTER) scripts/setup.py --dev --assets none
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-types check-rest

# mypy takes as long as all others together.
check-types:
	$(PYTHON) -m mypy apps llmopt scripts

check-rest:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/djlint templates --lint
	.venv/bin/lint-imports
	$(PYTHON) -m pytest -m syntax -q
	$(PYTHON) scripts/build_assets.py --check
	$(PYTHON) scripts/export_requirements.py --check

test: starter
	@$(STARTER) scripts/setup.py --dev --browser --assets data
	$(PYTHON) scripts/testdb.py -- pytest $(PYTEST_ARGS)

look: starter
	@$(STARTER) scripts/setup.py --dev --browser --assets none
	$(PYTHON) scripts/look.py

bench: setup-dev
	$(PYTHON) -m benchmarks

kill-test: setup-dev
	$(PYTHON) scripts/kill_test.py

fuzz: setup-dev
	$(PYTHON) scripts/fuzz_api.py

requirements: setup-dev
	$(PYTHON) scripts/export_requirements.py

assets: setup-dev
	$(PYTHON) scripts/build_assets.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage staticfiles
	find . -name __pycache__ -type d -not -path "./node_modules/*" -prune -exec rm -rf {} +
