# Two commands matter: `make demo` and `make test`. Both work from a clean clone.
# Needs: Python >= 3.11, make, a C compiler.

# Each of the hundreds of processes that tests start would compile all that it imports: a farm would take three times as long.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Four processes keep two cores busy: a test with real parts waits at times. A file shares its farm, so it stays in one process. A process of tests that dies fails
# its test and is not replaced: the test would end the next one too, and pytest-xdist may fail without a report.
PARALLEL ?= --numprocesses 4 --dist loadfile --max-worker-restart 0 --durations 20
# Those of faults wait for half of their time.
PARALLEL_FAULTS := $(subst --numprocesses 4,--numprocesses 5,$(PARALLEL))
# In random order, also those with real parts, whose tests share a farm with others of their file.  The first lines say the
# seed, with which RANDOM_ORDER="-p randomly --randomly-seed=N" repeats it; RANDOM_ORDER= takes the order of the files.
RANDOM_ORDER ?= -p randomly
# Each test has a limit of its own.  Should that fail, this ends the suite as Ctrl-C does, so that it reports what it knows.
SUITE_LIMIT ?= 2700
PYTEST := timeout --foreground --signal INT --kill-after 60 $(SUITE_LIMIT) $(BIN)/python -m pytest

# The unit tests run in two processes, each of which has half of the files (tests/shares.py).
SHARES := 1 2
UNIT   := $(addprefix unit-,$(SHARES))
UNIT_CHECK := $(addprefix unit-check-,$(SHARES))
# What `make test` runs: every test is in one of them.  Those with real parts keep all cores busy, but wait at times: the
# others run in the background, in that time.  A unit test takes what mypy has found of the client from the cache of `types`.
ALL   := integration=2 browser=2 faults-quick=2 fuzz-quick=2 \
	$(addsuffix =background,types $(UNIT) firmware-test frontend-test lint)
# What `make check` runs: of the firmware and the page what has changed since its tests passed, of the unit tests those
# that are not thorough (tests/marks.py).
QUICK := $(addsuffix =1,$(UNIT_CHECK)) types=1 lint=1 firmware-check=1 frontend-check=1
# All of them run, whichever fails; the last lines say which did, and how long each took.  Tests reach their limits where
# two suites share the cores that each of them keeps busy; a machine with four has time for two such.
CORES ?= 2
each = +@$(PYTHON) build_backend/suites.py "$(MAKE)" $(CORES) $(1)
# Unit tests wait at times, and none of them is so slow that it comes near its limit: one more at a time.
each_of_check = +@$(PYTHON) build_backend/suites.py "$(MAKE)" $$(($(CORES) + 1)) $(1)

.PHONY: demo test check unit unit-check $(foreach suite,$(QUICK) $(ALL),$(firstword $(subst =, ,$(suite)))) coverage pythons oldest mutation release-check page-tools firmware attacks faults soak fuzz nightly bench screenshots pictures format clean farm venv lock lock-images dist sbom help docs

help:
	@echo "make demo    start a farm of virtual boards, evaluate the example circuits, print results, stop"
	@echo "make test    install what it needs and run every test"
	@echo "make check   what to run after each change, in a minute: ruff, mypy, layers, spelling, unit tests but for the"
	@echo "             thorough ones, and where their sources have changed the tests of the page and of the firmware"
	@echo "make attacks what nobody may do, tried by every role on farms with and without tokens (part of make test)"
	@echo "make faults  every test of docs/reliability.md, including long ones"
	@echo "make soak MINUTES=30  random faults for that long, with an account of every evaluation"
	@echo "make fuzz SECONDS=600  damaged frames, bitstreams and images for all parsers"
	@echo "make nightly  all that takes long; one page of results: build/nightly/index.md; NIGHTLY=\"--minutes 5 dist soak\" chooses"
	@echo "make coverage  the tests again, and which lines and branches they reach: build/coverage/html"
	@echo "make pythons  unit and integration tests with every supported Python; PYTHONS=\"3.11 3.13\" chooses"
	@echo "make oldest  the same with the oldest versions of packages that are allowed"
	@echo "make mutation  change the pure modules in every place, and see whether the tests notice"
	@echo "make release-check  say what speaks against a release, or how to tag it"
	@echo "make docs    build the site of docs/, into docs/_build/html"
	@echo "make bench   print the figures of docs/performance.md for this machine"
	@echo "make screenshots  redraw docs/images from a running farm"
	@echo "make pictures  draw the circuits of docs/images again"
	@echo "make firmware  build the images of real boards (needs the pico-sdk and the Arm compiler)"
	@echo "make venv    the virtualenv alone, in $(VENV); make farm: without what only tests take"
	@echo "make dist    source, wheels and SBOMs of a release into dist/, made twice and checked; make sbom: the SBOMs alone"
	@echo "make lock-images  name the base images of deploy/ by digest, as their registries have them now"
	@echo "make lock    add to requirements/ what pyproject.toml has gained; UPGRADE=--upgrade takes the newest versions"

# From the lock files of requirements/, by build_backend/install.py; what is there already is left alone.
farm:
	@$(PYTHON) build_backend/install.py $(VENV) demo

venv:
	@$(PYTHON) build_backend/install.py $(VENV) tests

demo: farm
	@$(BIN)/icefarm demo

# The tools of a release, apart from what they make.
RELEASE := build/release
$(RELEASE)/.installed: requirements/release.txt
	@echo "installing the tools of a release into $(RELEASE)"
	@$(PYTHON) -m venv --clear $(RELEASE)
	@$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps \
		--requirement requirements/release.txt
	@touch $@

lock: $(RELEASE)/.installed
	$(RELEASE)/bin/python build_backend/lock.py $(UPGRADE)

lock-images:
	$(PYTHON) build_backend/images.py

dist: $(RELEASE)/.installed
	$(RELEASE)/bin/python build_backend/release.py

sbom: $(RELEASE)/.installed
	$(RELEASE)/bin/python build_backend/release.py sbom

test: venv
	$(call each,$(ALL))

check: venv
	$(call each_of_check,$(QUICK))

unit: venv
	$(call each,$(addsuffix =1,$(UNIT)))

$(UNIT): unit-%: venv
	$(PYTEST) tests/unit tests/fuzz -m 'not nightly' --share $*/$(words $(SHARES)) $(RANDOM_ORDER) \
		--durations 20 --suite $@=120

# The same without those that are thorough, and with fewer made-up examples; the last lines say how many it passed over.
unit-check: venv
	$(call each,$(addsuffix =1,$(UNIT_CHECK)))

$(UNIT_CHECK): unit-check-%: venv
	$(PYTEST) tests/unit tests/fuzz -m 'not nightly and not thorough' --share $*/$(words $(SHARES)) --hypothesis-profile quick \
		$(RANDOM_ORDER) --suite $@=40

# Unit tests and those with real parts, in every process that they start; what is left out is in pyproject.toml.  A test
# that fails does not keep the others from being measured.
COVERAGE := COVERAGE_FILE="$(CURDIR)/build/coverage/data" $(BIN)/python -m coverage
coverage: page-tools
	mkdir -p build/coverage
	$(COVERAGE) erase
	@rm -f build/coverage/failed
	$(COVERAGE) run -m pytest -m 'not nightly and not browser and not faults' $(PARALLEL) $(RANDOM_ORDER) || touch build/coverage/failed
	$(COVERAGE) run -m pytest -m browser $(PARALLEL) $(RANDOM_ORDER) || touch build/coverage/failed
	$(COVERAGE) run -m pytest -m 'faults and not slow' $(PARALLEL) $(RANDOM_ORDER) || touch build/coverage/failed
	$(COVERAGE) combine --quiet
	$(COVERAGE) html --quiet --directory build/coverage/html
	@total=$$($(COVERAGE) report --format=total) && echo "$$total % of lines and branches"
	@[ ! -e build/coverage/failed ] || { echo "measured, but tests failed"; exit 1; }

# noxfile.py says how; environments stay in build/nox.  One that is not on this machine is an error: PYTHONS="3.11 3.13"
# chooses, SUITES=unit as well.
PYTHONS ?=
SUITES  ?= unit integration
pythons: $(RELEASE)/.installed
	$(RELEASE)/bin/nox --session $(if $(PYTHONS),$(addprefix tests-,$(PYTHONS)),tests) -- $(SUITES)

# With the oldest versions that pyproject.toml allows of what a farm runs.
oldest: $(RELEASE)/.installed
	$(RELEASE)/bin/nox --session oldest -- $(SUITES)

# Which modules, and by which tests: [tool.mutmut] of pyproject.toml. MUTANTS="icefarm.selectors.*" chooses some,
# MUTANTS="--every 10" one of ten.
mutation: venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps \
		--requirement requirements/mutation.txt
	$(BIN)/python build_backend/mutation.py $(MUTANTS)

release-check:
	$(PYTHON) build_backend/version.py check

integration: venv
	$(PYTEST) tests/acceptance tests/attacks tests/integration -m integration $(PARALLEL) $(RANDOM_ORDER) --suite integration=650

browser: page-tools
	$(PYTEST) tests/browser -m browser $(PARALLEL) $(RANDOM_ORDER) --suite browser=180

faults-quick: venv
	$(PYTEST) tests/faults -m 'faults and not slow' $(PARALLEL_FAULTS) $(RANDOM_ORDER) --suite faults-quick=150

# A minute of processor time, of two cores.
fuzz-quick:
	$(MAKE) fuzz SECONDS=30 JOBS=2

# .clang-format-ignore names those that are left out.
C_SOURCES := $(wildcard $(addsuffix /*.[ch],$(addprefix firmware/,apps core ports/* ports/host/ice40 tests tests/*)))

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/clang-format --dry-run --Werror $(C_SOURCES)
	$(BIN)/codespell
	$(BIN)/python build_backend/frontend_tools.py lint

types: venv
	$(BIN)/mypy

firmware: venv
	$(BIN)/icefarm firmware build --into build/firmware

firmware-test:
	$(MAKE) -C firmware test

firmware-check:
	$(MAKE) -C firmware check

# A mark says that the page's tests have passed, of the time when they began; they run again where something that they are
# made of is newer.  A folder is newer when a file in it has come or gone.
PAGE_PASSED := build/passed/frontend
PAGE := $(shell find frontend -name node_modules -prune -o -print) build_backend/frontend_tools.py \
	requirements/node.txt requirements/test.txt

$(PAGE_PASSED): $(PAGE) | venv
	@mkdir -p $(@D) && rm -f $@ && touch $@.begun
	$(BIN)/python build_backend/frontend_tools.py test
	@[ "$$ICEFARM_DASHBOARD" = skip ] || mv $@.begun $@

# What the page is checked with, also in the browser.
page-tools: venv
	$(BIN)/python build_backend/frontend_tools.py install

frontend-test:
	@rm -f $(PAGE_PASSED)
	@$(MAKE) --no-print-directory $(PAGE_PASSED)

frontend-check: $(PAGE_PASSED)
	@[ ! -e $< ] || echo "the page's tests have passed since its last change"

attacks: venv
	$(BIN)/python -m pytest -m attacks

faults: venv
	$(BIN)/python -m pytest -m faults

MINUTES ?= 30
SOAK    ?=
soak: venv
	PYTHONPATH=tests $(BIN)/python -m faults.soak --minutes $(MINUTES) $(SOAK)

SECONDS ?= 600
JOBS    ?= 1
fuzz: venv
	$(MAKE) -C firmware sanitizer build/mutate
	PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(SECONDS) --jobs $(JOBS)

docs: venv
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Some parts need programs of their own: yosys, nextpnr-ice40, iverilog, clang; they fail or are passed over without.
nightly: venv
	$(BIN)/python build_backend/nightly.py $(NIGHTLY)

bench: venv
	$(BIN)/python -m bench

screenshots: venv
	PYTHONPATH=tests $(BIN)/python tests/browser/screenshots.py docs/images

pictures: venv
	$(BIN)/icefarm simulate examples/circuits/bursts.bin --svg docs/images/bursts.svg

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)
	$(BIN)/python build_backend/frontend_tools.py format

clean:
	rm -rf build dist mutants *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	$(MAKE) -C firmware clean
