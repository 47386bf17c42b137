//! The examples of the README, of the book and in `tests/cmd`: each command is run, and its output is compared.
//! `TRYCMD=overwrite` updates the output.

#[test]
fn examples() {
    trycmd::TestCases::new()
        .case("README.md")
        .case("tests/cmd/*.md")
        .case("../docs/src/*.md")
        .case("../docs/src/providers/*.md");
}
