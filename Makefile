# make quickstart   install, then search the smallest policy that keeps the shipped HalfCheetah agent's return
# make test         everything but the slow tests, on two cores
# make check-method NAME=gptq  what one method of compression has to do, in under a minute
# make test-slow    the slow tests: real agents, training, long evaluations
# make lint         style, types, floors
# make coverage     the tests of make test, and which lines and branches none of them runs: out/coverage/index.html
# make test-lowest  the same tests with the lowest versions that packages/*/pyproject.toml allow, in .venv-lowest
# make test-distributions  installs each distribution alone and looks at what came along
# make docs         the documentation as a site, built strictly and its links checked: out/site/index.html
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
DOCS := .venv-docs
INSTALLED := $(VENV)/.installed
PROJECTS := $(wildcard packages/*/pyproject.toml papers/*/pyproject.toml)
# In one command, so that pip finds each of them here and nowhere else.
OWN := ./packages/policypress-runtime ./packages/policypress[atari,hub] ./packages/policypress-train ./papers/lu2024 ./papers/li2023
EDITABLE := $(OWN:%='-e %')
AGENTS := $(wildcard examples/agents/*.zip)
# Hundreds of tests start Python: each would compile the package's modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install quickstart check-method test test-slow test-distributions coverage test-lowest lint docs bench hashes sbom clean
.DELETE_ON_ERROR:

install: $(INSTALLED)

# Torch first and alone, so that nothing else decides its build.
$(INSTALLED): $(PROJECTS) requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "policypress needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements-dev.txt $(OWN:%=-e '%') \
	  'ray>=2.40,<3' 'ai-edge-litert>=2,<3' 'openvino>=2024.6'
	touch $@

quickstart: $(INSTALLED)
	$(BIN)/policypress compress examples/agents/sac-HalfCheetah-v4.zip --budget-minutes 4 -o out/quickstart

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m slow

# What every method of compression has to do, for one of them.
check-method: $(INSTALLED)
	@test -n "$(NAME)" || { echo 'Name a method: make check-method NAME=gptq'; exit 2; }
	$(BIN)/python -m pytest -n $(JOBS) -q tests/compression/test_registry.py tests/compression/test_every_method.py -k "$(NAME)"

coverage: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html:out/coverage

# What each distribution brings along and what it does not, in environments of their own.
test-distributions:
	$(PYTHON) .ci/distributions.py

# Deprecations of old versions are no failures.
test-lowest: $(RELEASE)/.installed
	printf '%s\n' '-r requirements-dev.txt' $(EDITABLE) > $(LOWEST).in
	$(RELEASE)/bin/uv pip compile $(LOWEST).in --resolution lowest-direct --python-version 3.11 --quiet \
	  --no-annotate --no-header -o $(LOWEST).txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet -r $(LOWEST).txt
	$(LOWEST)/bin/python -m pytest -n $(JOBS) -m "not slow" -W default

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# It reads the source and imports none of it, so that it needs nothing but its own environment.
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

$(DOCS)/.installed: requirements-docs.txt
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet -r $<
	touch $@

bench: $(INSTALLED)
	$(BIN)/python benchmarks/parity.py $(AGENTS)
	$(BIN)/python benchmarks/evaluation_throughput.py examples/agents/sac-HalfCheetah-v4.zip
	for agent in $(AGENTS); do $(BIN)/python benchmarks/equalisation.py $$agent --episodes 10 || exit 1; done

$(RELEASE)/.installed:
	test -x $(RELEASE)/bin/python || $(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet uv cyclonedx-bom
	touch $@

hashes: $(RELEASE)/.installed
	printf '%s\n' $(OWN) > $(RELEASE).in
	printf '%s\n' \
	  '# The packages of constraints.txt that policypress itself needs, for Python 3.11, with the hashes of their files.' \
	  '# Written by `make hashes`; used with: pip install --require-hashes -r constraints-hashes.txt' \
	  > constraints-hashes.new
	$(RELEASE)/bin/uv pip compile $(RELEASE).in -c constraints.txt --generate-hashes --python-version 3.11 \
	  --no-annotate --no-header --quiet \
	  $(patsubst packages/%,--no-emit-package %,$(wildcard packages/*)) \
	  --no-emit-package policypress-lu2024 --no-emit-package policypress-li2023 \
	  >> constraints-hashes.new
	mv constraints-hashes.new constraints-hashes.txt

sbom: $(RELEASE)/.installed
	mkdir -p dist
	$(RELEASE)/bin/cyclonedx-py requirements constraints-hashes.txt --pyproject packages/policypress/pyproject.toml \
	  --output-reproducible --of JSON -o dist/sbom.json

clean:
	rm -rf $(VENV) $(DOCS) $(RELEASE) $(RELEASE).in $(LOWEST) $(LOWEST).in $(LOWEST).txt out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
