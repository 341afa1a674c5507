# make quickstart   install, then search the smallest policy that keeps the shipped HalfCheetah agent's return
# make test         everything but the slow tests, on two cores
# make test-slow    the slow tests: real agents, training, long evaluations
# make lint         style, types, floors
# make coverage     the tests of make test, and which lines and branches none of them runs: out/coverage/index.html
# make test-lowest  the same tests with the lowest versions that pyproject.toml allows, in .venv-lowest
# make bench        the measurements quoted in docs/, on the shipped agents
#
# make hashes       constraints-hashes.txt: what a release is installed from, with the hash of every file
# make sbom         dist/sbom.json: the same packages as a CycloneDX bill of materials
#
# Everything runs in .venv, which is made once. Another interpreter: make PYTHON=python3.12 ...
# Torch is pinned in constraints.txt; its CPU build is enough, and is taken where pip's index offers it.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
RELEASE := .venv-release
LOWEST := .venv-lowest
INSTALLED := $(VENV)/.installed
AGENTS := $(wildcard examples/agents/*.zip)
# Hundreds of tests start Python: each would compile the package's modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install quickstart test test-slow coverage test-lowest lint bench hashes sbom clean
.DELETE_ON_ERROR:

install: $(INSTALLED)

# Torch first and alone, so that nothing else decides its build.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "policypress needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,hub,litert,openvino,ray]"
	touch $@

quickstart: $(INSTALLED)
	$(BIN)/policypress compress examples/agents/sac-HalfCheetah-v4.zip --budget-minutes 4 -o out/quickstart

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m slow

coverage: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html:out/coverage

# Deprecations of old versions are no failures.
test-lowest: $(RELEASE)/.installed
	$(RELEASE)/bin/uv pip compile pyproject.toml --extra dev --resolution lowest-direct --python-version 3.11 --quiet \
	  --no-annotate --no-header -o $(LOWEST).txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet -r $(LOWEST).txt
	$(LOWEST)/bin/python -m pip install --quiet --no-deps -e .
	$(LOWEST)/bin/python -m pytest -n $(JOBS) -m "not slow" -W default

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python benchmarks/parity.py $(AGENTS)
	$(BIN)/python benchmarks/evaluation_throughput.py examples/agents/sac-HalfCheetah-v4.zip
	for agent in $(AGENTS); do $(BIN)/python benchmarks/equalisation.py $$agent --episodes 10 || exit 1; done

$(RELEASE)/.installed:
	test -x $(RELEASE)/bin/python || $(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet uv cyclonedx-bom
	touch $@

hashes: $(RELEASE)/.installed
	printf '%s\n' \
	  '# The packages of constraints.txt that policypress itself needs, for Python 3.11, with the hashes of their files.' \
	  '# Written by `make hashes`; used with: pip install --require-hashes -r constraints-hashes.txt' \
	  > constraints-hashes.new
	$(RELEASE)/bin/uv pip compile pyproject.toml -c constraints.txt --generate-hashes --python-version 3.11 \
	  --no-annotate --no-header --quiet >> constraints-hashes.new
	mv constraints-hashes.new constraints-hashes.txt

sbom: $(RELEASE)/.installed
	mkdir -p dist
	$(RELEASE)/bin/cyclonedx-py requirements constraints-hashes.txt --pyproject pyproject.toml \
	  --output-reproducible --of JSON -o dist/sbom.json

clean:
	rm -rf $(VENV) $(RELEASE) $(LOWEST) $(LOWEST).txt out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
