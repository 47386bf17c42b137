# The playground's wasm, for any browser. Inlined functions would be fewer bytes, but more when gzipped.
BINDGEN_VERSION := $(shell sed -n 's/^wasm-bindgen = "=\(.*\)"/\1/p' playground/Cargo.toml)
BINDGEN := $(CACHE)/wasm-bindgen-$(BINDGEN_VERSION)
PAGE_BUILT := target/page/$(PAGE_TARGET)/playground/flyte_secrets_playground.wasm
PAGE_WASM := playground/package/wasm/flyte_secrets_bg.wasm

$(BINDGEN)/bin/wasm-bindgen:
	cargo install --quiet --debug --root $(BINDGEN) wasm-bindgen-cli@$(BINDGEN_VERSION)

$(PAGE_BUILT): export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS = $(NO_PATHS)
$(PAGE_BUILT): always | toolchain
	cargo build --quiet --profile playground --target $(PAGE_TARGET) --target-dir target/page --package flyte-secrets-playground

$(PAGE_WASM): $(PAGE_BUILT) | $(BINDGEN)/bin/wasm-bindgen $(WASM_OPT)
	$(BINDGEN)/bin/wasm-bindgen --target web --out-name flyte_secrets --out-dir $(@D) --remove-name-section --remove-producers-section $<
	$(SHRINK) -Oz --one-caller-inline-max-function-size=0 $@ -o $@

PAGE_MODULES := playground/node_modules/.package-lock.json
PACKAGE := playground/package/dist/index.js
$(PACKAGE): $(PAGE_WASM) $(addprefix playground/package/,index.ts answers.ts settings.ts) playground/package/tsconfig.json $(PAGE_MODULES)
	npm run --prefix playground/package --silent build
	@touch $@

$(PAGE_MODULES): playground/package-lock.json $(wildcard playground/package.json playground/*/package.json)
	@$(call need,npm,it comes with Node.js)
	npm ci --prefix playground --silent
	@touch $@

RICH := $(CACHE)/rich-$(RICH_VERSION)
DEMO := flyte-secrets preview -f xtask/demo/pod.yaml --secrets xtask/demo/store.yaml
# The output of `flyte-secrets preview` for the demo's pod, as docs/src/images/demo.svg.
demo-picture: $(RICH)/bin/python
	cargo build --quiet --bin flyte-secrets
	CLICOLOR_FORCE=1 target/debug/$(DEMO) | $(RICH)/bin/python xtask/demo/picture.py '$(DEMO)' docs/src/images/demo.svg

$(RICH)/bin/python:
	python3 -m venv $(RICH)
	$(RICH)/bin/pip install --quiet --disable-pip-version-check 'rich==$(RICH_VERSION)'
