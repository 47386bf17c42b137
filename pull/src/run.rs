//! Attempts with backoff, and refresh.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use flyte_secrets_policy::grant::Grant;

use crate::request::{ATTEMPT, Gateway};
use crate::{Error, Places};

/// First and longest backoff between attempts. Each is twice the previous one, less up to half of it at random, so that
/// waiting pods do not retry at the same time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Pulls with retries for the `patience` of the grant, logs each failed attempt, and returns the number of changed
/// files.
///
/// # Errors
/// No attempt succeeded.
pub fn run(gateway: &Gateway, grant: &Grant, places: &Places, log: &dyn Fn(&str)) -> Result<usize, Error> {
    let start = Instant::now();
    let mut pause = PAUSES.0;
    for attempt in 1.. {
        let left = grant.patience.saturating_sub(start.elapsed());
        let error = match gateway.pull(grant, places, ATTEMPT.min(left)) {
            Ok(changed) => return Ok(changed),
            Err(error) => error,
        };
        let Some(least) = error.retry_after() else { return Err(error) };
        let wait = least.max(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        if start.elapsed() + wait >= grant.patience {
            return Err(Error::TimedOut(grant.patience, Box::new(error)));
        }
        log(&format!("attempt {attempt} failed: {error}; retrying in {:.1}s", wait.as_secs_f64()));
        thread::sleep(wait);
        pause = PAUSES.1.min(pause * 2);
    }
    Ok(0)
}

/// Pulls, writes the ready marker, and then pulls periodically. Changed files are replaced; if a pull fails, files
/// remain.
///
/// # Errors
/// The first pull failed.
pub fn refresh(
    gateway: &Gateway,
    grant: &Grant,
    places: &Places,
    every: Duration,
    log: &dyn Fn(&str),
) -> Result<(), Error> {
    let changed = run(gateway, grant, places, log)?;
    log(&pulled(grant, changed));
    fs::write(places.ready(), "").map_err(Error::Ready)?;
    loop {
        thread::sleep(every.mul_f64(0.9 + fastrand::f64() / 5.0));
        match run(gateway, grant, places, log) {
            Ok(0) => {}
            Ok(changed) => log(&pulled(grant, changed)),
            Err(error) => log(&format!("cannot refresh secrets: {error}")),
        }
    }
}

/// Returns the log line of a pull.
pub fn pulled(grant: &Grant, changed: usize) -> String {
    let Grant { files, variables, .. } = grant;
    format!("pulled {} as files and {} as variables; {changed} files written", files.len(), variables.len())
}
