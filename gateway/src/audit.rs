//! The audit log: one line of JSON for each read and pull, whatever its outcome. It is never given a value.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Serialize, Serializer};

use crate::access::pods::Bound;
use crate::metrics::{self, Metrics};
use crate::names::Kind;

/// One audit line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<T> {
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    /// Kind of the line.
    audit: &'static str,
    #[serde(flatten)]
    fields: T,
    #[serde(rename = "durationMs", serialize_with = "milliseconds")]
    duration: Duration,
    outcome: &'static str,
    code: u16,
    /// Number of unauthenticated requests without a line since the last line of one.
    #[serde(skip_serializing_if = "is_zero")]
    unlogged: u64,
}

/// Outcome of a request.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// `ok` or the reason of the Status.
    pub word: &'static str,
    /// The HTTP status.
    pub code: u16,
    /// Its duration.
    pub duration: Duration,
    /// Whether the caller is authenticated.
    pub authenticated: bool,
}

/// The fields of a read's line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Read<'a> {
    /// User name; none if the caller is not authenticated.
    pub user: Option<&'a str>,
    /// The user's groups.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub groups: &'a [String],
    /// Kind of the object.
    #[serde(serialize_with = "kind")]
    pub kind: Kind,
    /// Name of the object as requested, truncated.
    pub name: &'a str,
    /// Region, project or vault host, if the name is valid.
    pub place: Option<&'a str>,
    /// `cache`, `shared` (with another request) or `provider`; none if nothing was read.
    pub source: Option<&'static str>,
    /// Whether no provider call was made.
    pub cached: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The fields of a pull's line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pull<'a> {
    /// The pod; none if the token is not bound to one.
    #[serde(flatten)]
    pub pod: Option<&'a Bound>,
    /// Scope of the grant.
    pub scope: Option<&'a str>,
    /// Names in the store of the secrets returned.
    pub names: &'a [String],
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn kind<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// Maximum number of bytes waiting to be written.
const MOST_QUEUED: usize = 8 << 20;

/// Maximum number of bytes of one write.
const ONE_WRITE: usize = 64 << 10;

/// How long the writer waits for more lines: to be woken for each of them would cost reads a tenth of their time.
const GATHER: Duration = Duration::from_millis(5);

/// Timeout of writing the remaining lines at shutdown.
const FLUSH: Duration = Duration::from_secs(5);

/// Interval between lines of unauthenticated requests, which anybody can send.
const SAMPLE: Duration = Duration::from_secs(1);

/// Writes audit lines in a thread of its own, so that reads never wait. Lines that exceed the queue are lost; a metric
/// counts them, and a line reports how many.
pub struct Log {
    queue: Arc<Queue>,
    strangers: Mutex<Strangers>,
}

#[derive(Default)]
struct Strangers {
    last: Option<Instant>,
    unlogged: u64,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    /// Queued lines.
    lines: Vec<u8>,
    /// Bytes queued or being written.
    bytes: usize,
    /// Lost lines that are not reported yet.
    lost: u64,
    closed: bool,
    ended: bool,
}

/// Reports how many lines were lost.
#[derive(Serialize)]
struct Lost {
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    audit: &'static str,
    lines: u64,
}

impl Log {
    /// Returns a log that writes to `out`, several lines at once if they are queued.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn new(mut out: impl Write + Send + 'static, metrics: Arc<Metrics>) -> io::Result<Self> {
        let queue = Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), metrics });
        let taken = Arc::clone(&queue);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            while let Some(lines) = taken.next() {
                for part in lines.chunks(ONE_WRITE) {
                    if let Err(error) = out.write_all(part) {
                        let lost = count(part);
                        tracing::error!(%error, lines = lost, "audit lines lost");
                        taken.metrics.audit_lost.inc_by(lost);
                    }
                    taken.written(part.len());
                }
            }
            taken.state().ended = true;
            taken.changed.notify_all();
        })?;
        Ok(Self { queue, strangers: Mutex::default() })
    }

    /// Queues the line of a read.
    pub fn read(&self, fields: &Read, outcome: Outcome) {
        self.request("read", fields, outcome);
    }

    /// Queues the line of a pull.
    pub fn pull(&self, fields: &Pull, outcome: Outcome) {
        self.request("pull", fields, outcome);
    }

    /// Queues a line; of unauthenticated requests one in each interval, and counts the others.
    fn request(&self, audit: &'static str, fields: impl Serialize, outcome: Outcome) {
        let Outcome { word, code, duration, authenticated } = outcome;
        let Some(unlogged) = (if authenticated { Some(0) } else { self.sample() }) else { return };
        let time = SystemTime::now();
        self.write(&Line { time, audit, fields, duration, outcome: word, code, unlogged });
    }

    fn write(&self, line: &impl Serialize) {
        match encoded(line) {
            Ok(line) => self.queue.push(&line),
            Err(error) => {
                tracing::error!(%error, "audit line lost");
                self.queue.metrics.audit_lost.inc();
            }
        }
    }

    /// Returns the number of unauthenticated requests since the last line, or none if it is too early for another.
    fn sample(&self) -> Option<u64> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.last.is_some_and(|last| last.elapsed() < SAMPLE) {
            strangers.unlogged += 1;
            return None;
        }
        strangers.last = Some(Instant::now());
        Some(std::mem::take(&mut strangers.unlogged))
    }
}

impl Drop for Log {
    /// Waits until the queue is written, or for the timeout.
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.closed = true;
        self.queue.changed.notify_all();
        let waited = self.queue.changed.wait_timeout_while(state, FLUSH, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.ended {
            tracing::error!(lines = count(&state.lines), "audit lines lost: timed out writing them to standard output");
        }
    }
}

/// Returns the number of lines.
fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

fn encoded(line: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes.saturating_add(line.len()) > MOST_QUEUED {
            state.lost += 1;
            self.metrics.audit_lost.inc();
            return;
        }
        // Whoever writes waits only if there is nothing.
        let wake = state.lines.is_empty();
        self.add(&mut state, line);
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    fn add(&self, state: &mut State, line: &[u8]) {
        state.lines.extend_from_slice(line);
        state.bytes += line.len();
        metrics::set(&self.metrics.audit_queued_bytes, state.bytes as u64);
    }

    /// Returns the next lines to write; none when the log is closed.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        loop {
            // As soon as there is room again: not a line for each that is lost.
            if state.lost > 0 && state.bytes <= MOST_QUEUED / 2 {
                let lost = Lost { time: SystemTime::now(), audit: "lost", lines: std::mem::take(&mut state.lost) };
                if let Ok(line) = encoded(&lost) {
                    self.add(&mut state, &line);
                }
            }
            if !state.lines.is_empty() {
                return Some(std::mem::take(&mut state.lines));
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            let gathered = self.changed.wait_timeout_while(state, GATHER, |state| !state.closed);
            (state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn written(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        metrics::set(&self.metrics.audit_queued_bytes, state.bytes as u64);
    }
}
