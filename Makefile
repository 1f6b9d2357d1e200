# Every word sets up what it needs: a clone, Python 3.11 or newer and `make demo` are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The simulators of the gallery. `make setup EXTRAS=dev,bench` does without them; their tests are skipped then.
EXTRAS ?= dev,bench,docs,mujoco,robotics,metaworld,repertoire,video
READY := $(VENV)/.ready

.PHONY: setup demo smoke test test-slow mutants check docs bench qwale ablation solved source variants parts steps baseline repertoire reproduce planner false-alarms gallery build clean

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

# Another sample at every commit, and the same one when it is made again.
mutants: setup  ## do the quick tests notice each line of tests/mutations.toml? SAMPLE=8 tries eight of them
	$(BIN)/python benchmarks/mutants.py --jobs 2 $(if $(SAMPLE),--sample $(SAMPLE) --seed $$(git rev-list --count HEAD 2>/dev/null || echo 0))

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

qwale: setup  ## QWALE and its baselines in the README and docs/adapters/qwale.md, every life listed (an hour and a half; continues)
	$(BIN)/slrl eval qwale
	$(BIN)/python benchmarks/tables.py qwale

ablation: setup  ## what of qwale makes the difference, in docs/adapters/qwale.md (half an hour; continues)
	$(BIN)/slrl eval ablation
	$(BIN)/python benchmarks/tables.py ablation

solved: setup  ## the README's table of the default: eight scenarios, five pretrainings, ten lives each (an hour; continues)
	$(BIN)/slrl eval solved
	$(BIN)/python benchmarks/tables.py solved

source: setup  ## the default beside frozen where nothing is new, in docs/adapters/levels.md (half an hour; continues)
	$(BIN)/slrl eval source
	$(BIN)/python benchmarks/tables.py source

variants: setup  ## the default in scenarios/variants, in docs/adapters/levels.md (a quarter of an hour; continues)
	$(BIN)/slrl eval variants
	$(BIN)/python benchmarks/tables.py variants

parts: setup  ## what parts of the default bring, in docs/adapters/levels.md (two hours; continues)
	$(BIN)/slrl eval parts
	$(BIN)/python benchmarks/tables.py parts

steps: setup  ## success in the wind by the number of pretraining steps, in docs/adapters/rma.md (an hour of one core; continues)
	$(BIN)/slrl eval steps
	$(BIN)/python benchmarks/tables.py steps

baseline: setup  ## the frozen policy after the default's five pretrainings, in docs/adapters.md (an hour; continues where it was stopped)
	$(BIN)/slrl eval baseline
	$(BIN)/python benchmarks/tables.py baseline

repertoire: setup  ## trial and error of bodies with legs, with controls, in docs/adapters/repertoire.md (an hour and a half; continues)
	$(BIN)/slrl eval repertoire
	$(BIN)/python benchmarks/tables.py repertoire

ANEW = runs/reproduce/$(shell git rev-parse --short HEAD)
reproduce: setup  ## the quick suite anew, from pretraining on; fails if a result leaves its reference interval (an hour of one core)
	SLRL_CACHE=$(ANEW)/.cache $(BIN)/slrl eval quick --out $(ANEW)
	$(BIN)/python benchmarks/reproduce.py $(ANEW)

planner: setup  ## a planner that knows the map, in docs/adapters/vlm_pc.md (a quarter of an hour)
	$(BIN)/python benchmarks/planner.py --readme docs/adapters/vlm_pc.md

false-alarms: setup  ## the table in docs/adapters/switch.md (an hour of one core; continues where it was stopped)
	$(BIN)/slrl eval false_alarms
	$(BIN)/python benchmarks/false_alarms.py runs/false_alarms --csv eval/reference/false_alarms.csv --readme docs/adapters/switch.md

gallery: setup  ## 40 lives in each scenario, a still of each, docs/scenarios.md (an hour; continues where it was stopped)
	$(BIN)/slrl eval gallery
	$(BIN)/python benchmarks/tables.py gallery
	$(BIN)/python benchmarks/gallery.py

build: setup  ## the wheel, in dist/
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache
