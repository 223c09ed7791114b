# make run    a manager in the foreground, with everything on
# make develop  an environment for work on the program: unit tests and tools, no servers
# make test   everything that CI runs
# make nightly  the same with larger numbers, for hours; CI does not run it
# make bench  the benchmarks beside their peers

SHELL := /bin/sh
PYTHON ?= python3
HOME_DIRECTORY = $${DOMOGIK_HOME:-$(CURDIR)/.domogik}

.PHONY: run develop test nightly bench clean

run: .venv/installed
	@.venv/bin/python tools/first_home.py "$(HOME_DIRECTORY)" "$(CURDIR)/examples"
	@exec .venv/bin/dmg_manager -f -d -r -p -E --home "$(HOME_DIRECTORY)"

.venv/installed: setup.py $(shell find domogik twisted -name '*.py' 2>/dev/null)
	@tools/need-python "$(PYTHON)"
	@test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	@echo "Installing into .venv ..."
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade .
	@touch $@

develop:
	@tools/test-environment --without-servers

test:
	@tools/test-environment
	@.venv-test/bin/tox run --skip-pkg-install

nightly:
	@tools/test-environment
	@tools/nightly

bench:
	@tools/test-environment
	@.venv-test/bin/python -m pip install --quiet --disable-pip-version-check ".[bench]"
	@.venv-test/bin/python -m bench

clean:
	rm -rf .venv .venv-test .venv-debian .tox build *.egg-info
