# Every word sets up what it needs: a clone, Python 3.11 or newer and `make demo` are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The simulators of the gallery. `make setup EXTRAS=dev,bench` does without them; their tests are skipped then.
EXTRAS ?= dev,bench,docs,mujoco,robotics,metaworld,video
READY := $(VENV)/.ready

.PHONY: setup demo smoke test test-slow check docs bench reference reproduce adapters gallery build clean

setup: $(READY)  ## a virtual environment with everything, at the versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

demo: setup  ## the main job: one life in a wind that the prior never met
	$(BIN)/slrl adapt --scenario windy_pointmass

smoke: setup  ## eighteen short lives in parallel
	$(BIN)/slrl eval smoke

test: setup  ## all tests that take seconds
	$(BIN)/pytest -n 2

test-slow: setup  ## the tests that take minutes: learning to succeed, from pretraining to the last step
	$(BIN)/pytest -m slow

check: setup  ## formatting, lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup  ## the documents as a site, in site/; fails on a link that leads nowhere
	$(BIN)/mkdocs build --strict

bench: setup  ## speed of updates and lives, beside Stable-Baselines3 and a textbook SAC in the same run
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/throughput.py

reference: setup  ## the comparison in the README, every life listed (hours; continues where it was stopped)
	$(BIN)/python benchmarks/compare.py --readme README.md

ANEW = runs/reproduce/$(shell git rev-parse --short HEAD)
reproduce: setup  ## the quick suite anew, from pretraining on; fails if a result leaves its reference interval (half an hour)
	SLRL_CACHE=$(ANEW)/.cache $(BIN)/slrl eval quick --out $(ANEW)
	$(BIN)/python benchmarks/reproduce.py $(ANEW)

SEEDS = 2000,2001,2002,2003,2004,2005,2006,2007,2008,2009
MORE = 2010,2011,2012,2013,2014,2015,2016,2017,2018,2019,2020,2021,2022,2023,2024,2025,2026,2027,2028,2029
TABLE = $(BIN)/python benchmarks/compare.py --seeds $(SEEDS) --csv eval/reference/adapters.csv --readme docs/adapters.md
adapters: setup  ## the tables in docs/adapters.md, every life listed (an hour and a half; continues where it was stopped)
	$(TABLE) --scenario windy_pointmass --prior pointmass_breezy --life-steps 20000 --adapters switch,rma,robust,model,rma_qwale,skills,qwale,frozen,vlm_pc
	$(TABLE) --scenario gusty_pointmass --prior pointmass_breezy --life-steps 20000 --adapters switch,rma,robust,rma_qwale,frozen
	$(BIN)/python benchmarks/detection.py --readme docs/adapters.md
	$(TABLE) --scenario ant_broken_leg --life-steps 2000 --distance --adapters rma,robust,frozen
	$(TABLE) --scenario maze_blocked --life-steps 10000 --adapters switch,skills,rma,qwale,frozen,vlm_pc
	$(TABLE) --scenario maze_blocked --life-steps 10000 --adapters switch,skills --seeds $(SEEDS),$(MORE) --table maze_blocked_30
	$(BIN)/python benchmarks/planner.py --readme docs/adapters/vlm_pc.md

gallery: setup  ## 40 lives in each scenario, a still of each, docs/scenarios.md (an hour and a half; continues where it was stopped)
	$(BIN)/python benchmarks/gallery.py

build: setup  ## the wheel, in dist/
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache
