# Everything a person types. Paths are relative, so that a folder with spaces in its name works.
.DEFAULT_GOAL := help
.PHONY: help setup demo dev test proof cluster chaos lint audit format bench lock
PYTHON_HERE := .venv/bin/python
export PYTHON
# Nothing here reports to anybody.
export DAGSTER_DISABLE_TELEMETRY := 1

help:  ## what can be typed here
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

setup:  ## a virtual environment in .venv with what requirements.lock names; at once when that is done
	@sh .ci/setup

demo: setup  ## the whole path on sample data: warehouse, local Mailtrap, export, a picture
	@$(PYTHON_HERE) -m pipelines.demo

dev: setup  ## the Dagster UI on the demo's world
	@$(PYTHON_HERE) -m pipelines.demo --dev

test: setup  ## every test; ARGS="-k consent" picks some
	@$(PYTHON_HERE) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

proof: setup  ## tests that take minutes: real 60 s windows, flat memory, the real Dagster daemon
	@$(PYTHON_HERE) -m pytest -m proof $(ARGS)

cluster: setup  ## Celery workers and the daemon killed in the middle of 64 buckets, and at the limit, on PostgreSQL, Redis and an S3 server
	@sh .ci/cluster && .venv-cluster/bin/python -m pytest -m "proof or not proof" -s tests/deploy $(ARGS)

chaos: setup  ## runs killed at every request, 200 times at random, starved, stopped; takes half an hour
	@$(PYTHON_HERE) -m tests.assets.chaos $(ARGS)

lint: setup  ## formatting, ruff, mypy --strict, and Dagster's own check of the definitions
	@$(PYTHON_HERE) -m ruff format --check .
	@$(PYTHON_HERE) -m ruff check .
	@$(PYTHON_HERE) -m mypy
	@$(PYTHON_HERE) -m dagster definitions validate -w workspace.yaml

audit: setup  ## asks PyPI which locked versions have known weaknesses; says so where it cannot be asked
	@sh .ci/audit $(ARGS)

format: setup  ## lets ruff format the code and mend what it can
	@$(PYTHON_HERE) -m ruff check --fix --quiet . ; $(PYTHON_HERE) -m ruff format .

bench: setup  ## throughput and memory, measured on this machine
	@$(PYTHON_HERE) -m benchmarks $(ARGS)

UV_LOCK := -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --no-strip-extras --quiet
lock: setup  ## writes requirements.lock, and what only deployments need on top, anew from the ranges in pyproject.toml
	@$(PYTHON_HERE) $(UV_LOCK) --extra dev --output-file requirements.lock $(ARGS)
	@$(PYTHON_HERE) $(UV_LOCK) --extra postgres --extra celery --extra k8s --constraint requirements.lock \
		--output-file deploy/requirements.lock $(ARGS)
