#!/bin/bash -eu
# What OSS-Fuzz runs in its image: the targets, and for each its regressions with the seeds, its dictionary and its options.
# The image's compiler is a nightly of its own, named by RUSTUP_TOOLCHAIN, which goes before rust-toolchain.toml.
cargo fuzz build -O --debug-assertions
# Not instrumented: the image's flags are for the targets.
env -u RUSTFLAGS -u CFLAGS -u CXXFLAGS cargo run --manifest-path fuzz/Cargo.toml --target-dir /tmp/seed --example seed -- \
    tests/golden /tmp/seeds
for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    find "fuzz/regressions/$target" "/tmp/seeds/$target" -type f 2> /dev/null | zip -qj "$OUT/${target}_seed_corpus.zip" -@
    printf '[libfuzzer]\nlen_control = 0\n' > "$OUT/$target.options"
    if [ -f "fuzz/dictionaries/$target.dict" ]; then
        cp "fuzz/dictionaries/$target.dict" "$OUT/"
        echo "dict = $target.dict" >> "$OUT/$target.options"
    fi
done
