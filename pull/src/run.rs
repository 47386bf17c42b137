//! Attempts until one succeeds or none can, and refreshing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use flyte_secrets_policy::grant::{Grant, format_duration};

use crate::Places;
use crate::request::{ATTEMPT, Error, Gateway};

/// The first pause between attempts, and the longest; each is twice the one before, less up to half of it by chance, so that
/// pods that wait for one gateway do not come back at once.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No other attempt can succeed.
    #[error(transparent)]
    Final(#[from] Error),
    /// Patience has ended.
    #[error("timed out after {}: {last}", format_duration(*patience))]
    GaveUp {
        /// How long was tried.
        patience: Duration,
        /// Why the last attempt failed.
        last: Error,
    },
}

/// Pulls until it succeeds, for as long as the grant's patience allows, and logs each attempt that fails. Returns how many
/// files have changed.
///
/// # Errors
/// No attempt succeeded.
pub fn run(gateway: &Gateway, grant: &Grant, places: &Places, log: &dyn Fn(&str)) -> Result<usize, Failure> {
    let start = Instant::now();
    let mut pause = PAUSES.0;
    for attempt in 1.. {
        let left = grant.patience.saturating_sub(start.elapsed());
        let error = match gateway.pull(grant, places, ATTEMPT.min(left)) {
            Ok(changed) => return Ok(changed),
            Err(error) if error.may_pass() => error,
            Err(error) => return Err(error.into()),
        };
        let wait = error.retry_after().unwrap_or(Duration::ZERO).max(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        if start.elapsed() + wait >= grant.patience {
            return Err(Failure::GaveUp { patience: grant.patience, last: error });
        }
        log(&format!("attempt {attempt} failed: {error}; retrying in {:.1}s", wait.as_secs_f64()));
        thread::sleep(wait);
        pause = PAUSES.1.min(pause * 2);
    }
    Ok(0)
}

/// Pulls, marks the pod as ready, and then pulls again and again; what has changed is replaced, and what cannot be pulled
/// stays as it is.
///
/// # Errors
/// The first pull failed.
pub fn refresh(
    gateway: &Gateway,
    grant: &Grant,
    places: &Places,
    every: Duration,
    log: &dyn Fn(&str),
) -> Result<(), Failure> {
    let changed = run(gateway, grant, places, log)?;
    log(&pulled(grant, changed));
    fs::write(places.ready(), "").map_err(|error| Failure::Final(Error::Ready(error)))?;
    loop {
        thread::sleep(every.mul_f64(0.9 + fastrand::f64() / 5.0));
        match run(gateway, grant, places, log) {
            Ok(0) => {}
            Ok(changed) => log(&pulled(grant, changed)),
            Err(failure) => log(&format!("cannot refresh secrets: {failure}")),
        }
    }
}

/// Returns the line that tells of a pull.
pub fn pulled(grant: &Grant, changed: usize) -> String {
    let Grant { files, variables, .. } = grant;
    format!("pulled {} as files and {} as variables; {changed} files written", files.len(), variables.len())
}
