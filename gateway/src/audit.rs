//! Who read what: one line of JSON for each read, whatever became of it. Holds no value, for it is never given one.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::access::pods::Bound;
use crate::names::Kind;

/// One read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line<'a> {
    /// When it was answered.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// `read`, so that these lines can be told from others.
    pub audit: &'static str,
    /// Who; nobody if the caller is not known.
    pub user: Option<&'a str>,
    /// The user's groups.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub groups: &'a [String],
    /// What kind of object.
    #[serde(serialize_with = "kind")]
    pub kind: Kind,
    /// Its whole name as it was asked for; cut where no provider's name goes on.
    pub name: &'a str,
    /// Region, project or vault host, once the name is known to have one.
    pub place: Option<&'a str>,
    /// `cache`, `shared` (with another request) or `provider`; nothing if neither was asked.
    pub source: Option<&'static str>,
    /// Whether the provider was spared.
    pub cached: bool,
    /// How long it took.
    #[serde(rename = "durationMs", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// What became of it, in one word: `ok` or the reason of the Status.
    pub outcome: &'static str,
    /// The HTTP status.
    pub code: u16,
}

/// One pull.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pull<'a> {
    /// When it was answered.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// `pull`, so that these lines can be told from others.
    pub audit: &'static str,
    /// Which pod; nothing if its token is not one of a pod.
    #[serde(flatten)]
    pub pod: Option<&'a Bound>,
    /// Whose secrets it was granted.
    pub scope: Option<&'a str>,
    /// What it was given, by the names in the store.
    pub names: &'a [String],
    /// How long it took.
    #[serde(rename = "durationMs", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// What became of it, in one word: `ok` or the reason of the Status.
    pub outcome: &'static str,
    /// The HTTP status.
    pub code: u16,
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

/// Where lines go.
pub struct Log {
    out: Mutex<Box<dyn Write + Send>>,
}

impl Log {
    /// Lines to a writer, each in one call.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)) }
    }

    /// Lines to standard output by a thread of their own, which no read waits for until 128,000 lines wait; none is
    /// lost as long as the guard is dropped last.
    pub fn stdout() -> (Self, WorkerGuard) {
        let (out, guard): (NonBlocking, _) =
            NonBlockingBuilder::default().lossy(false).thread_name("audit").finish(io::stdout());
        (Self::new(out), guard)
    }

    /// Writes a line. That it could not be written is said in the log, without it.
    pub fn write(&self, line: &impl Serialize) {
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
        });
        if let Err(error) = written {
            tracing::error!(%error, "an audit line is lost");
        }
    }
}
