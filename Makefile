# Everything a person types here. The lab needs root on Linux; all else runs anywhere.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# An operator's machine keeps compiled modules; without them each command begins 0.7 s later (measured, two cores).
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help fmt check test-fast test faults way-back rehearsal figures trials bench lab lab-down clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(INSTALLED): requirements/develop.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Installing python3-venv"; apt-get update -q; apt-get install -y -q python3-venv; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements/develop.txt
	@touch $@

fmt: $(INSTALLED)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(INSTALLED)  ## format, lint, types, shell: nothing is changed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@command -v shellcheck >/dev/null || { echo "Installing shellcheck"; apt-get update -q; apt-get install -y -q shellcheck; }
	shellcheck .ci/run components/*.sh rehearsal/bench/*.sh

test-fast: $(INSTALLED)  ## unit, component and agent tests: no root, seconds
	$(BIN)/pytest -m "not lab and not light and not faults and not way_back and not engine and not postgres" -n 2

# Tests of two PostgreSQL versions: as root on Linux in the servers' image, which has both; else with what the machine has.
INSIDE = $(if $(filter Linux-0,$(shell uname)-$(shell id -u)),$(BIN)/python -m rehearsal inside --)

test: $(INSTALLED)  ## every test but those of `faults` and `way-back`: also the real engine over a simulated fleet, and the lab
	@command -v chromium >/dev/null || { echo "Installing chromium"; apt-get update -q; apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core; }
	$(BIN)/pytest -m "not lab and not faults and not way_back and not postgres" -n 2 --dist worksteal
	$(INSIDE) $(BIN)/pytest -m postgres -n 2 --dist loadfile
	$(BIN)/pytest -m lab

faults: $(INSTALLED)  ## what can break is broken on the lab's servers, a quarter of an hour long; writes docs/faults.md
	rm -f .cache/faults.json
	$(BIN)/pytest -m faults -v
	$(BIN)/python -m tests.lab.faults.table

way-back: $(INSTALLED)  ## after cutover, two minutes of writes, and back: nothing is lost; then forward again; ten minutes
	$(BIN)/pytest -m way_back -v -s

# What a rehearsal is given: CONFIG=Pulumi.prod.yaml DATA=databases=20,relations=8000 TRAFFIC=reads=50,writes=20
# SCHEMA="shop_real=shop.sql crm.sql" DRILL=yes
GIVEN = $(if $(CONFIG),--config $(CONFIG)) $(if $(DATA),--data $(DATA)) $(if $(TRAFFIC),--traffic $(TRAFFIC)) \
	$(foreach file,$(SCHEMA),--schema-from $(file))

rehearsal: $(INSTALLED)  ## the whole upgrade on real servers under traffic, judged; CONFIG=, DATA=, TRAFFIC=, SCHEMA=, DRILL=yes
	$(BIN)/python -m rehearsal rehearse $(GIVEN) $(if $(DRILL),--drill)

figures: $(INSTALLED)  ## keep the last rehearsal's report in docs/rehearsal/, and write README's and the runbook's figures and pictures from it; REPORT=
	$(BIN)/python -m rehearsal.report.readme $(REPORT)

trials: $(INSTALLED)  ## windows on data of seven shapes, each forecast beforehand; writes docs/forecast.json; twenty minutes; WINDOWS=
	$(BIN)/python -m rehearsal trials $(if $(WINDOWS),--windows $(WINDOWS))

bench: $(INSTALLED)  ## pgleap beside an expert by hand, Ansible, pyinfra, and on large fleets; writes docs/performance.md; an hour and a half; RUNS=, ONLY=
	$(BIN)/python -m rehearsal bench $(if $(RUNS),--runs $(RUNS)) $(foreach part,$(ONLY),--only $(part))

lab: $(INSTALLED)  ## the same fleet with its traffic, left running for you; CONFIG=, DATA=, TRAFFIC=, SCHEMA=
	$(BIN)/python -m rehearsal lab $(GIVEN)

lab-down: $(INSTALLED)  ## remove every trace of the lab, also after a crash
	$(BIN)/python -m rehearsal lab-down

clean: lab-down  ## the lab, the environment and what was built
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
