//! The examples of the README, and more of their kind in `tests/cmd`: each command is run, and what it says is compared
//! with what stands there. `TRYCMD=overwrite` writes down what comes out.

#[test]
fn examples() {
    trycmd::TestCases::new().case("README.md").case("tests/cmd/*.md");
}
