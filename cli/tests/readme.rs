//! The examples of the README and of the book, and more of their kind in `tests/cmd`: each command is run, and what it
//! says is compared with what stands there. `TRYCMD=overwrite` writes down what comes out.

#[test]
fn examples() {
    trycmd::TestCases::new()
        .case("README.md")
        .case("tests/cmd/*.md")
        .case("../docs/src/*.md")
        .case("../docs/src/providers/*.md");
}
