# Everything runs unattended: what is missing is installed first (tools/setup.py), and nothing is asked.
PYTHON ?= python3
VENV := $(or $(CLOUDFILM_VENV),.venv)
BIN := $(VENV)/bin
# Most of a test's time is a browser's or a pause's: three for each processor keep both busy.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(3 * (os.cpu_count() or 1))')
# Without bytecode every program that a test starts compiles itself anew, a second each time.
unexport PYTHONPATH PYTHONSAFEPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

# what is run of the tests: `make thorough TESTS=tests/providers`
TESTS ?= tests

# what the tests say of each row, for tools/figures.py
JUNIT = build/tests/$(1).xml
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --junit-xml=$(call JUNIT,$(1))

.PHONY: help demo test thorough soak check bench readme recording docs figures dist wheel-demo package lock clean distclean setup
.PHONY: checked tested compiled

help:
	@echo "make demo        a photographed report becomes a verified study, on loopback, through a real browser"
	@echo "make test        the checks, then the tests"
	@echo "make thorough    the tests with every row, each way through the browser too"
	@echo "make soak        many rounds of kills, faults and altered answers"
	@echo "make figures     lines of the providers and rooms, and the seconds of each tier of tests that has run here"
	@echo "make check       ruff, mypy --strict, import-linter, names and shape, dead code, licences, the lock file"
	@echo "make bench       seconds, MB/s and peak memory of one grab, directly and through the browser"
	@echo "make docs        build the pages as a site in build/site; strict, every link checked"
	@echo "make dist        build the wheel and the sdist into dist/"
	@echo "make wheel-demo  the same, then the demonstration with the wheel in an empty environment"
	@echo "make package     build the program that needs no Python, for this system, into dist/, and try it"
	@echo "make readme      write the generated tables of docs/ (platforms, problems)"
	@echo "make recording   run the demonstration and put its output into both READMEs"
	@echo "make lock        write uv.lock anew: the versions that development and CI use"
	@echo "make setup       look again for what could not be installed"
	@echo "make clean       remove what a run leaves"
	@echo "make distclean   remove the environment and the cache, too"
	@echo "make help        this list"

setup:
	@rm -f $(VENV)/ready-for-*
	@$(PYTHON) tools/setup.py test

$(BIN)/python:
	@$(PYTHON) tools/setup.py demo

demo:
	@$(PYTHON) tools/setup.py demo
	@$(BIN)/python -m fixtures.demo

check: $(BIN)/python
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python -m tools.house
	$(BIN)/python -m tools.dead_code
	$(BIN)/python -m tools.licences --check
	$(BIN)/python -m uv lock --check --offline -q

# The checks run beside the tests, in the seconds that these leave; what they say stands at the end, and either ends the run with an
# error.
test:
	@$(PYTHON) tools/setup.py test
	@$(MAKE) --no-print-directory --jobs=2 checked tested; failed=$$?; cat build/checks.txt; \
	test $$failed = 0 || { echo "make test: the checks or the tests failed, see above"; exit 1; }

checked:
	@mkdir -p build
	@nice -n 19 $(MAKE) --no-print-directory check >build/checks.txt 2>&1

tested: compiled
	$(call PYTEST,test) $(TESTS)

# On a fresh checkout everything is compiled once; else each of the workers would do it for itself, all at the same time, and the
# children, which write nothing, at each start.
compiled:
	@test -d tests/__pycache__ || { $(BIN)/python -m compileall -q scraper providers fixtures tests tools; \
	$(BIN)/python -m pytest -q --collect-only tests >/dev/null || true; }

thorough:
	@$(PYTHON) tools/setup.py test
	@$(MAKE) --no-print-directory compiled
	$(call PYTEST,thorough) -m "not soak" $(TESTS)

soak:
	@$(PYTHON) tools/setup.py test
	$(call PYTEST,soak) -m soak $(TESTS)

figures: $(BIN)/python
	@$(BIN)/python -m tools.figures $(wildcard build/tests/*.xml)

bench: $(BIN)/python
	@$(BIN)/python -m tools.bench $(SOURCE)

readme: $(BIN)/python
	@$(BIN)/python -m tools.readme

recording:
	@$(PYTHON) tools/setup.py demo
	@$(BIN)/python -m tools.recording

docs:
	@$(PYTHON) tools/setup.py docs
	@$(BIN)/python -m tools.site

dist: $(BIN)/python
	$(BIN)/python -m uv build -q --out-dir dist
	@ls dist

wheel-demo: dist
	@$(PYTHON) tools/setup.py demo
	@$(BIN)/python -m tools.wheel

package:
	@$(PYTHON) tools/setup.py package
	@$(BIN)/python packaging/build.py

lock: $(BIN)/python
	$(BIN)/python -m uv lock -q

clean:
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .cache
