# Every job of the project under one name. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := bash
.PHONY: demo test check bench fuzz crds chart images e2e deps cluster-up cluster-down cluster-shell help

ARGS ?=

demo: ## Build, then watch services call each other through sidecars (ARGS="--keep" leaves it running)
	@bash scripts/demo.sh $(ARGS)

test: ## Everything that must be green, as continuous integration runs it (ARGS="--only fmt,deny" for some stages)
	@bash tests/run.sh $(ARGS)

check: ## The quick part of `make test`: format, clippy, licences, walls
	@bash tests/run.sh --only deps,fmt,clippy,deny,walls $(ARGS)

bench: ## Measure, and write docs/performance.md
	@bash benches/run.sh $(ARGS)

fuzz: ## Run every fuzz target for FUZZ_SECONDS (default 30) each
	@bash tests/run.sh --only fuzz $(ARGS)

crds: ## Write the custom resource definitions from the Rust types to crds/
	@bash scripts/crds.sh

chart: ## Write what is rendered from the chart: deploy/ and the goldens of tests/chart
	@bash scripts/chart.sh

images: ## Build the container images as OCI archives in target/images, with a bill of materials each
	@bash scripts/images.sh $(ARGS)

e2e: ## The end-to-end tests on the test cluster (TEST=name for some of them)
	@bash tests/e2e/run.sh $(TEST)

deps: ## Install or report what the tests need
	@bash tests/run.sh --only deps $(ARGS)

cluster-up: ## Start the test cluster (once for a machine it is built first, in nine minutes or so)
	@bash tests/cluster/cluster.sh up

cluster-down: ## End the test cluster and remove all of it
	@bash tests/cluster/cluster.sh down

cluster-shell: ## A shell with kubectl and helm for the test cluster
	@bash tests/cluster/cluster.sh shell

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
