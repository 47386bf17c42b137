//! Results of checks, printed at once, and as a summary. Does not know the checks.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::{Result, anyhow};
use futures::FutureExt;

/// Prints and counts results.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: Vec<String>,
    section: String,
    only: Option<String>,
}

impl Report {
    /// Returns a report of the checks whose section or name contains a word [default: all].
    pub fn new(only: Option<String>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Starts a section of checks.
    pub fn section(&mut self, title: &str) {
        println!("\n── {title}");
        title.clone_into(&mut self.section);
    }

    /// Whether a check of this section and name is selected.
    pub fn selects(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| format!("{}: {name}", self.section).contains(only))
    }

    /// Runs one check; an error or a panic in it is a failure.
    pub async fn check(&mut self, name: &str, check: impl Future<Output = Result<()>>) {
        if !self.selects(name) {
            return;
        }
        let start = Instant::now();
        let outcome = AssertUnwindSafe(check).catch_unwind().await;
        self.record(name, start.elapsed(), outcome.unwrap_or_else(|_| Err(anyhow!("it panicked"))));
    }

    /// Records the result of a check.
    pub fn record(&mut self, name: &str, time: Duration, outcome: Result<()>) {
        let time = time.as_millis();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok   {name} ({time} ms)");
            }
            Err(error) => {
                println!("FAIL {name} ({time} ms)\n{error:#}");
                self.failed.push(format!("{}: {name}", self.section));
            }
        }
    }

    /// Records a check that cannot run here, with the reason.
    pub fn skip(&mut self, name: &str, reason: &str) {
        if self.selects(name) {
            println!("skip {name}: {reason}");
        }
    }

    /// Prints the summary, and returns whether checks ran and all succeeded.
    pub fn close(self) -> bool {
        println!();
        for name in &self.failed {
            println!("FAIL {name}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        self.failed.is_empty() && self.passed > 0
    }
}
