//! The chart's README.

use std::ffi::OsStr;

use crate::helm::{CHART, holds, repository, run};

#[test]
#[ignore = "needs helm-docs: make chart-test"]
fn readme_is_generated_from_the_values() {
    let arguments = ["--chart-search-root", CHART, "--skip-version-footer", "--dry-run"].map(OsStr::new);
    let output = run("helm-docs", &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = String::from_utf8(output.stdout).expect("UTF-8");
    holds(&repository(CHART).join("README.md"), &format!("{}\n", made.trim_end()));
}
