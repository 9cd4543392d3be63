# Two commands do everything: `make run` and `make test`. What they need and the machine lacks, they install
# (Debian packages with apt, the embedded engine and the page's packages with npm); what they cannot install,
# they name, with the command that would.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ENGINE  := vendor/libchdb.so
LISTEN  ?= 127.0.0.1:8642
DATA    ?= data
SAMPLES := $(sort $(wildcard testdata/*.pcap testdata/*.pcapng testdata/*.pcap.gz testdata/*.pcap.zst))
PAGE    := web/dist/index.html
PAGE_SOURCES := $(shell find web/src web/index.html web/package.json web/package-lock.json web/vite.config.js web/metrics-page.js docs/metrics.md -type f 2>/dev/null)
# Without libpcap the program is built without live capture; everything else works.
FEATURES = $(shell tools/have-libpcap && echo "" || echo "--no-default-features")

export AUSCULT_LIBCHDB ?= $(abspath $(ENGINE))

.PHONY: help run test fuzz-smoke live-test engine web build headers check-format clippy doc deny msrv unit instruction-gate cost-gate page-test test-tools flood samples clean

help:
	@echo "make run    build everything, replay the samples into ./$(DATA), serve http://$(LISTEN)"
	@echo "make test   every check: format, clippy, unit, property, store, captures, instructions, page"
	@echo "make fuzz-smoke  a fixed number of hostile inputs into every reader: part of .ci/run"
	@echo "make live-test  250,000 packets a second over a cable of its own, with the release binaries, as root"
	@echo "make engine the embedded ClickHouse engine; make web: the page; make build: the release binary"

## The main job ---------------------------------------------------------------------------------------------

# The engine is fetched beside the build. Not by `-j`: cargo would take make's limit of jobs for its own.
run:
	@$(MAKE) --no-print-directory engine & engine=$$!; \
	$(MAKE) --no-print-directory build || { kill $$engine 2>/dev/null || true; exit 1; }; \
	wait $$engine
	@target/release/auscult run --read $(SAMPLES) --pace fast --data $(DATA) --listen $(LISTEN) --guide

build: headers web
	@tools/step "building the release binary" cargo build --release --locked $(FEATURES)

engine: $(ENGINE)

$(ENGINE):
	@tools/fetch-engine $(ENGINE)

web: $(PAGE)

$(PAGE): $(PAGE_SOURCES)
	@tools/build-web

headers:
	@tools/have-libpcap || tools/apt-install "live capture" libpcap-dev || true

samples:
	cargo run --quiet --release -p testkit -- samples testdata

clean:
	rm -rf target web/dist web/node_modules web/types/node_modules testkit/oidc/node_modules vendor

## Checks ---------------------------------------------------------------------------------------------------

test: test-tools headers engine web check-format clippy doc deny msrv unit instruction-gate cost-gate page-test

test-tools:
	@tools/have-nextest || tools/step "installing cargo-nextest" cargo install --locked cargo-nextest
	@command -v chromium >/dev/null || tools/apt-install "page tests" chromium
	@command -v ip >/dev/null || tools/apt-install "tests of live capture" iproute2 || true
	@command -v tshark >/dev/null || tools/apt-install "comparison with tshark" tshark
	@command -v valgrind >/dev/null || tools/apt-install "instruction counts" valgrind
	@command -v prometheus-alertmanager >/dev/null || tools/apt-install "tests of alerts" prometheus-alertmanager || true
	@! command -v npm >/dev/null || tools/have-oidc-provider || (cd testkit/oidc && npm ci --silent --no-audit --no-fund) || echo "npm could not install the provider for tests of sign-in; they are skipped" >&2
	@command -v promtool >/dev/null || tools/apt-install "tests of alerts" prometheus || true

check-format:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked $(FEATURES)

deny:
	@tools/deny

msrv:
	@tools/msrv

# Tests that lack something (root, an engine, the shared captures) write a line each; AUSCULT_REQUIRE=all makes them fail.
unit:
	@mkdir -p target && rm -f target/skipped
	AUSCULT_SKIPS=$(abspath target/skipped) cargo nextest run --workspace --locked $(FEATURES)
	@[ ! -e target/skipped ] || sort -u target/skipped

# The same inputs every time, from fuzz/corpus; the programs are those of `unit`. `fuzz/run-all SECONDS` looks for more, with coverage.
fuzz-smoke: test-tools headers
	cargo nextest run --workspace --locked $(FEATURES) --test smoke --run-ignored only
	@awk '/^    [a-z_]+: [a-z]+, [0-9]+, [0-9]+,/ {n++; s += $$3} END {print "fuzz-smoke: " n " targets, " s " inputs"}' fuzz/src/lib.rs

# At 250,000 packets a second, with the release binaries and as root: not part of `make test`. To vary it:
# STREAMS=2000 SECONDS=60 INTERVAL=1 CAPTURE='ring_mib = 64;threads = 2' make live-test
live-test: headers engine web
	@command -v ip >/dev/null || tools/apt-install "the live test" iproute2
	@tools/step "building the release binaries" cargo build --release --locked -p auscult -p testkit
	AUSCULT_LIVE_BIN=$(abspath target/release) cargo nextest run --locked --test run --run-ignored only --no-capture line_rate

instruction-gate: test-tools
	@tools/step "counting the hot path's instructions" tools/instruction-gate

cost-gate: test-tools
	@tools/step "counting what hostile messages cost" tools/cost-gate

# Figures are printed; they need a machine that does nothing else.
flood: headers
	cargo test --release --locked --test engine $(FEATURES) -- --ignored --nocapture --test-threads=1 flood::

page-test: headers engine web
	@tools/page-test
