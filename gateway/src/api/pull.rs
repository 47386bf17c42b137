//! `/v1/pull`: a pod's secrets, authenticated by its token. The request has no body; `answer` of the core has the
//! format of the response.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use flyte_secrets_policy::answer::{CONTENT_TYPE, Head, PATH};
use flyte_secrets_policy::env_file;
use flyte_secrets_policy::grant::{Grant, Granted};
use flyte_secrets_policy::settings::Tenancy;
use flyte_secrets_policy::tenancy::{self, Origin};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::resource::{LEAD, Wiped};
use super::status::Status;
use super::{Health, health};
use crate::access::pods::{Bound, Identifier, NotIdentified};
use crate::audit;
use crate::config::Pods;
use crate::metrics::{ByResult, Metrics};
use crate::provider::Value;
use crate::store::{Found, NotFound, Store};

/// The state of pulls.
pub struct Pulls {
    /// Identifies pods.
    pub identifier: Identifier,
    /// The store of secrets.
    pub store: Store,
    /// Configuration: the policy's settings, and limits.
    pub config: Pods,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Audit log of pulls.
    pub audit: Arc<audit::Log>,
    /// Pulls in flight by namespace.
    pub turns: Turns,
}

/// Returns the API of the listener for pods: pulls and health only.
pub fn router(pulls: Arc<Pulls>, health: Arc<Health>) -> Router {
    Router::new()
        .route(PATH, post(pull))
        .with_state(pulls)
        .merge(health::router(health))
        .fallback(|| async { Status::no_such_path() })
        .method_not_allowed_fallback(|| async { Status::method_not_allowed() })
}

/// The audit trail of a pull. When dropped, it counts the pull and writes its audit line, also if the pod disconnects.
struct Trail<'a> {
    pulls: &'a Pulls,
    start: Instant,
    pod: Option<Bound>,
    scope: Option<String>,
    names: Vec<String>,
    /// Reason and HTTP status.
    outcome: (&'static str, u16),
}

impl<'a> Trail<'a> {
    fn start(pulls: &'a Pulls) -> Self {
        pulls.metrics.pulls_in_flight.inc();
        let outcome = super::GONE;
        Self { pulls, start: Instant::now(), pod: None, scope: None, names: Vec::new(), outcome }
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        let Self { pulls, outcome: (outcome, code), .. } = *self;
        let duration = self.start.elapsed();
        pulls.metrics.pulls_in_flight.dec();
        pulls.metrics.pulls.get_or_create(&ByResult { result: outcome }).inc();
        pulls.metrics.pull_seconds.observe(duration.as_secs_f64());
        let pod = self.pod.as_ref();
        let fields = audit::Pull { pod, scope: self.scope.as_deref(), names: &self.names };
        pulls.audit.pull(&fields, audit::Outcome { word: outcome, code, duration, authenticated: pod.is_some() });
    }
}

async fn pull(State(pulls): State<Arc<Pulls>>, headers: HeaderMap) -> Response {
    let mut trail = Trail::start(&pulls);
    let answer = answer(&mut trail, &pulls, &headers).await;
    trail.outcome = answer.as_ref().map_or_else(|status| (status.reason, status.code), |_| ("ok", 200));
    answer.unwrap_or_else(|status| status.into_response())
}

async fn answer(trail: &mut Trail<'_>, pulls: &Arc<Pulls>, headers: &HeaderMap) -> Result<Response, Box<Status>> {
    let unknown = |why: NotIdentified| Box::new(Status::not_identified(&why));
    let token = bearer(headers).ok_or(NotIdentified::NoToken).map_err(unknown)?;
    let pod = trail.pod.insert(pulls.identifier.review(token).await.map_err(unknown)?);
    let limit = pulls.config.pulls_per_namespace;
    let _turn = pulls.turns.enter(&pod.namespace, limit).ok_or_else(|| Box::new(Status::too_many_pulls()))?;
    let grant = Arc::new(pulls.identifier.grant(pod).await.map_err(unknown)?);
    trail.scope = Some([&*grant.organization, &grant.domain, &grant.project].join("/"));
    let tenancy: &Tenancy = &pulls.config.settings.tenancy;
    let origin = Origin { namespace: &pod.namespace, service_account: &pod.service_account, creator: None };
    tenancy::check(tenancy, grant.scope(), &origin).map_err(|why| Box::new(Status::tenancy(&why)))?;
    let (files, variables) = find(pulls, &grant, &mut trail.names).await?;
    for (granted, value) in grant.variables.iter().zip(&variables) {
        env_file::check(value.bytes()).map_err(|why| Box::new(Status::no_variable(&granted.key, why)))?;
    }
    let lengths = |values: &[Arc<Value>]| values.iter().map(|value| value.len() as u64).collect::<Vec<_>>();
    let head = Head::new(&grant, lengths(&files), lengths(&variables));
    let line = head.to_line().map_err(|_| Box::new(Status::broken()))?;
    let values: Vec<_> = files.into_iter().chain(variables).collect();
    let (bytes, limit) = (values.iter().map(|value| value.len() as u64).sum::<u64>(), pulls.config.max_bytes);
    if bytes > limit {
        return Err(Box::new(Status::too_much(format!(
            "the pod's secrets exceed the limit of {limit} bytes for each pull"
        ))));
    }
    let mut response = Body::new(Chunks::new(&line, values)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

type Values = Vec<Arc<Value>>;

/// Returns the values of a grant, files and variables, and the names under which they were found.
async fn find(
    pulls: &Arc<Pulls>,
    grant: &Arc<Grant>,
    names: &mut Vec<String>,
) -> Result<(Values, Values), Box<Status>> {
    let granted: Vec<&Granted> = grant.files.iter().chain(&grant.variables).collect();
    if granted.len() > pulls.config.max_secrets {
        let (count, limit) = (granted.len(), pulls.config.max_secrets);
        return Err(Box::new(Status::too_much(format!("{count} secrets exceed the limit of {limit} for each pod"))));
    }
    let mut finding = JoinSet::new();
    for (number, secret) in granted.iter().enumerate() {
        let (pulls, grant, secret) = (Arc::clone(pulls), Arc::clone(grant), (*secret).clone());
        finding.spawn(async move { (number, pulls.store.find(grant.scope(), &secret).await) });
    }
    let mut found: Vec<Option<Result<Found, NotFound>>> = granted.iter().map(|_| None).collect();
    while let Some(answer) = finding.join_next().await {
        if let Ok((number, outcome)) = answer
            && let Some(place) = found.get_mut(number)
        {
            *place = Some(outcome);
        }
    }
    let mut values = Vec::new();
    let mut failures = Vec::new();
    for (secret, outcome) in granted.iter().zip(found) {
        match outcome {
            Some(Ok(Found { value, name })) => {
                values.push(value);
                names.push(name);
            }
            Some(Err(why)) => failures.push(Status::not_found(secret.secret(), &why)),
            None => return Err(Box::new(Status::broken())),
        }
    }
    names.sort_unstable();
    names.dedup();
    if let Some(status) = Status::together(failures) {
        names.clear();
        return Err(Box::new(status));
    }
    let variables = values.split_off(grant.files.len());
    Ok((values, variables))
}

/// Pulls in flight by namespace.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<String, usize>>>);

/// A pull in flight, until it is dropped.
struct Turn<'a>(&'a Turns, String);

impl Turns {
    fn enter(&self, namespace: &str, limit: usize) -> Option<Turn<'_>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = turns.entry(namespace.to_owned()).or_default();
        if *under_way >= limit {
            return None;
        }
        *under_way += 1;
        Some(Turn(self, namespace.to_owned()))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = turns.get_mut(&self.1) {
            *under_way -= 1;
            if *under_way == 0 {
                turns.remove(&self.1);
            }
        }
    }
}

/// A value of the reader's cache, sent without a copy.
struct Shared(Arc<Value>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// A body of known length in several pieces.
struct Chunks {
    pieces: VecDeque<Bytes>,
    left: u64,
}

/// Maximum size of a body that is sent as one frame of HTTP/2.
const ONE_FRAME: usize = 16 << 10;

impl Chunks {
    /// Returns a body of a head and values. The head is padded to the size that HTTP/2 keeps of a frame, see [`LEAD`].
    /// A body of at most [`ONE_FRAME`] is one frame.
    fn new(line: &str, values: Vec<Arc<Value>>) -> Self {
        let head = format!("{line:>LEAD$}");
        let length = head.len() + values.iter().map(|value| value.len()).sum::<usize>();
        let pieces = if length <= ONE_FRAME {
            let mut whole = Zeroizing::new(Vec::with_capacity(length));
            whole.extend_from_slice(head.as_bytes());
            values.iter().for_each(|value| whole.extend_from_slice(value.bytes()));
            [Bytes::from_owner(Wiped(whole))].into()
        } else {
            let values = values.into_iter().map(|value| Bytes::from_owner(Shared(value)));
            std::iter::once(Bytes::from(head)).chain(values).filter(|piece| !piece.is_empty()).collect()
        };
        Self { pieces, left: length as u64 }
    }
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
