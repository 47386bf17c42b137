//! What passed and what failed, as it happens and in the end. Knows nothing of what is checked.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

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

    /// Runs one check; an error or a panic in it is a failure.
    pub async fn check(&mut self, name: &str, check: impl Future<Output = Result<()>>) {
        let full = format!("{}: {name}", self.section);
        if self.only.as_ref().is_some_and(|only| !full.contains(only)) {
            return;
        }
        let start = Instant::now();
        let outcome = AssertUnwindSafe(check).catch_unwind().await;
        let time = start.elapsed().as_millis();
        match outcome.unwrap_or_else(|_| Err(anyhow!("it panicked"))) {
            Ok(()) => {
                self.passed += 1;
                println!("ok   {name} ({time} ms)");
            }
            Err(wrong) => {
                println!("FAIL {name} ({time} ms)\n{wrong:#}");
                self.failed.push(full);
            }
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
