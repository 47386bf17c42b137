//! Reading what the host hands over, and which pods are ours to look at.
//!
//! Knows admission requests; knows nothing of managers.

use std::borrow::Cow;

use crate::json::{may_hold, Cursor, Malformed, Text};
use crate::pod::View;
use crate::requests::REQUEST_PREFIX;

/// Flyte's propeller puts this label on pods that ask for secrets.
pub const LABEL: (&str, &str) = ("inject-flyte-secrets", "true");

/// An admission request with a pod that asks for secrets.
#[derive(Debug)]
pub struct Review<'a> {
    /// The pod.
    pub pod: View<'a>,
    /// The namespace that it is created in.
    pub namespace: Cow<'a, str>,
    /// Whether the pod has the label, without which Flyte's webhook does not see it.
    pub labelled: bool,
    /// The policy's settings, as JSON.
    pub settings: &'a [u8],
}

/// Reads the payload of `validate`; `None` if there is nothing in it for this policy.
///
/// # Errors
/// The payload is not an admission request, or its pod not a pod.
pub fn read(payload: &[u8]) -> Result<Option<Review<'_>>, Malformed> {
    if !may_hold(payload, REQUEST_PREFIX.as_bytes()) {
        return Ok(None);
    }
    let mut request = Request::default();
    let mut settings = None;
    let mut cursor = Cursor::new(payload);
    cursor.members(&mut |cursor, key| match key {
        b"request" => Request::read(cursor).map(|it| request = it),
        b"settings" => cursor.skip().map(|it| settings = Some(it)),
        _ => cursor.pass(),
    })?;
    let creates_pod = request.creates_pod();
    let Some(pod) = request.object.filter(|_| creates_pod).transpose()? else { return Ok(None) };
    let (label, value) = LABEL;
    Ok(Some(Review {
        labelled: pod.label(label)?.is_some_and(|found| found == value),
        pod,
        namespace: request.namespace.map(|namespace| namespace.read()).transpose()?.unwrap_or_default(),
        settings: settings.and_then(|span| payload.get(span)).unwrap_or(b"null"),
    }))
}

/// An `AdmissionRequest`, as far as it is read.
#[derive(Default)]
struct Request<'a> {
    group: Option<Text<'a>>,
    version: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    operation: Option<Text<'a>>,
    sub_resource: Option<Text<'a>>,
    namespace: Option<Text<'a>>,
    /// Read before it is known to be a pod: the payload is walked once, and its members come in any order.
    object: Option<Result<View<'a>, Malformed>>,
}

impl<'a> Request<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let mut request = Self::default();
        cursor.members(&mut |cursor, key| match key {
            b"kind" => request.read_kind(cursor),
            b"operation" => cursor.string_or_null().map(|it| request.operation = it),
            b"subResource" => cursor.string_or_null().map(|it| request.sub_resource = it),
            b"namespace" => cursor.string_or_null().map(|it| request.namespace = it),
            b"object" if cursor.peek() == Some(b'{') => read_object(cursor).map(|it| request.object = Some(it)),
            _ => cursor.pass(),
        })?;
        Ok(request)
    }

    fn read_kind(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        let read = cursor.members(&mut |cursor, key| match key {
            b"group" => cursor.string_or_null().map(|it| self.group = it),
            b"version" => cursor.string_or_null().map(|it| self.version = it),
            b"kind" => cursor.string_or_null().map(|it| self.kind = it),
            _ => cursor.pass(),
        });
        read.map(drop)
    }

    fn creates_pod(&self) -> bool {
        let is = |text: &Option<Text>, wanted: &str| text.as_ref().map_or(wanted.is_empty(), |text| text.is(wanted));
        is(&self.group, "")
            && is(&self.version, "v1")
            && is(&self.kind, "Pod")
            && is(&self.operation, "CREATE")
            && is(&self.sub_resource, "")
    }
}

/// Reads an object as a pod; if it is none, that is no error yet, and it is passed over.
fn read_object<'a>(cursor: &mut Cursor<'a>) -> Result<Result<View<'a>, Malformed>, Malformed> {
    let start = cursor.clone();
    let pod = View::read(cursor);
    if pod.is_err() {
        *cursor = start;
        cursor.pass()?;
    }
    Ok(pod)
}
