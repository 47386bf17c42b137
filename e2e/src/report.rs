//! What passed and what failed, as it happens and in the end. Knows nothing of what is checked.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::{Result, anyhow};
use futures::FutureExt;

/// Counts, and says so at once.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: Vec<String>,
    section: String,
    only: Option<String>,
}

impl Report {
    /// A report of the checks whose section or name holds a word; of all without.
    pub fn new(only: Option<String>) -> Self {
        Self { only, ..Self::default() }
    }

    /// What the next checks are about.
    pub fn section(&mut self, title: &str) {
        println!("\n── {title}");
        title.clone_into(&mut self.section);
    }

    /// Whether a check of this section and name is to be run.
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

    /// Says how a check went that was run elsewhere.
    pub fn record(&mut self, name: &str, time: Duration, outcome: Result<()>) {
        let time = time.as_millis();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok   {name} ({time} ms)");
            }
            Err(wrong) => {
                println!("FAIL {name} ({time} ms)\n{wrong:#}");
                self.failed.push(format!("{}: {name}", self.section));
            }
        }
    }

    /// Says that a check cannot be run here, and why.
    pub fn skip(&mut self, name: &str, reason: &str) {
        if self.selects(name) {
            println!("skip {name}: {reason}");
        }
    }

    /// Says how it went; whether all of it went well, and anything was run at all.
    pub fn close(self) -> bool {
        println!();
        for name in &self.failed {
            println!("FAIL {name}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        self.failed.is_empty() && self.passed > 0
    }
}
