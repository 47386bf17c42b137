//! What the policy reads of a pod, borrowed from the text it came in, in one walk.
//!
//! Lists that only matter when something is added to them (variables, mounts, volumes) are noted by their place and
//! looked into by [`super::apply`].

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{Cursor, Malformed, Text};
use crate::texts::Texts;

/// With the least that the API server gives each, more do not fit into what etcd takes.
const CONTAINERS: usize = 10_000;

/// A place in the text.
pub(super) type Span = Range<usize>;

/// A member that may be missing, or `null`, which means the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    /// Where its value stands, if there is one.
    pub span: Option<Span>,
    /// Whether that value is `null`.
    pub null: bool,
}

/// A container or init-container. Places of its fields are noted, not looked into.
#[derive(Clone, Debug, Default)]
pub(super) struct Container {
    pub object: Span,
    pub name: Option<Span>,
    pub command: Field,
    pub env: Field,
    pub volume_devices: Field,
    pub volume_mounts: Field,
}

/// A pod as it came in.
#[derive(Clone, Debug)]
pub struct View<'a> {
    pub(super) text: &'a [u8],
    pub(super) pod: Span,
    pub(super) metadata: Span,
    pub(super) annotations_field: Field,
    pub(super) spec: Span,
    pub(super) containers: Vec<Container>,
    pub(super) init_containers: Vec<Container>,
    pub(super) init_containers_field: Field,
    pub(super) volumes: Field,
    pub(super) image_pull_secrets: Field,
    service_account: Option<Text<'a>>,
    labels: Vec<(Text<'a>, Text<'a>)>,
    annotations: Vec<(Text<'a>, Text<'a>)>,
}

impl<'a> View<'a> {
    /// Reads the pod that comes next.
    ///
    /// # Errors
    /// A field that the policy reads is not of the type that Kubernetes gives it.
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let mut view = Self {
            text: cursor.whole(),
            pod: Span::default(),
            metadata: Span::default(),
            annotations_field: Field::default(),
            spec: Span::default(),
            containers: Vec::new(),
            init_containers: Vec::new(),
            init_containers_field: Field::default(),
            volumes: Field::default(),
            image_pull_secrets: Field::default(),
            service_account: None,
            labels: Vec::new(),
            annotations: Vec::new(),
        };
        view.pod = cursor.members(&mut |cursor, key| match key {
            b"metadata" => view.read_metadata(cursor),
            b"spec" => view.read_spec(cursor),
            _ => cursor.pass(),
        })?;
        Ok(view)
    }

    fn read_metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        // Of members of one name the last one counts, as for the host.
        self.labels.clear();
        self.annotations.clear();
        self.annotations_field = Field::default();
        self.metadata = cursor.members(&mut |cursor, key| match key {
            b"labels" => strings(cursor).map(|(it, _)| self.labels = it),
            b"annotations" => strings(cursor).map(|it| (self.annotations, self.annotations_field) = it),
            _ => cursor.pass(),
        })?;
        Ok(())
    }

    fn read_spec(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        self.containers.clear();
        self.init_containers.clear();
        self.init_containers_field = Field::default();
        self.volumes = Field::default();
        self.image_pull_secrets = Field::default();
        self.service_account = None;
        self.spec = cursor.members(&mut |cursor, key| match key {
            b"containers" => containers(cursor).map(|(it, _)| self.containers = it),
            b"initContainers" => containers(cursor).map(|it| (self.init_containers, self.init_containers_field) = it),
            b"volumes" => field(cursor).map(|it| self.volumes = it),
            b"imagePullSecrets" => field(cursor).map(|it| self.image_pull_secrets = it),
            b"serviceAccountName" => cursor.string_or_null().map(|it| self.service_account = it),
            _ => cursor.pass(),
        })?;
        Ok(())
    }

    /// A label's value.
    ///
    /// # Errors
    /// It is no string of Unicode characters.
    pub fn label(&self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.labels.iter().rev().find(|(key, _)| key.is(name)).map(|(_, value)| value.read()).transpose()
    }

    /// The annotations whose keys start with `prefix`, in the order in which they stand.
    ///
    /// # Errors
    /// One of them is no string of Unicode characters.
    pub fn annotations(&self, prefix: &str, texts: &'a Texts) -> Result<Vec<(&'a str, &'a str)>, Malformed> {
        let mut found = Vec::new();
        for (key, value) in &self.annotations {
            let ours = match key.plain() {
                Some(plain) => plain.starts_with(prefix.as_bytes()),
                None => key.read()?.starts_with(prefix),
            };
            if ours {
                found.push((texts.keep(key.read()?), texts.keep(value.read()?)));
            }
        }
        Ok(found)
    }

    /// How many bytes all annotations take, keys and values.
    pub(super) fn annotation_bytes(&self) -> usize {
        let length = |text: &Text| text.read().map_or(0, |text| text.len());
        self.annotations.iter().map(|(key, value)| length(key) + length(value)).sum()
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&Text<'a>> {
        self.annotations.iter().rev().find(|(key, _)| key.is(name)).map(|(_, value)| value)
    }

    /// The service account that the pod runs as; Kubernetes' default is `default`.
    ///
    /// # Errors
    /// It is no string of Unicode characters.
    pub fn service_account(&self) -> Result<Cow<'a, str>, Malformed> {
        let named = self.service_account.map(|name| name.read()).transpose()?.filter(|name| !name.is_empty());
        Ok(named.unwrap_or(Cow::Borrowed("default")))
    }
}

fn field(cursor: &mut Cursor) -> Result<Field, Malformed> {
    let null = cursor.clone().null();
    Ok(Field { span: Some(cursor.skip()?), null })
}

/// A key and its value, as they are meant.
pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

type Pairs<'a> = Vec<(Text<'a>, Text<'a>)>;

/// A map of strings, such as labels and annotations.
fn strings<'a>(cursor: &mut Cursor<'a>) -> Result<(Pairs<'a>, Field), Malformed> {
    let mut pairs = Vec::new();
    if cursor.clone().null() {
        return Ok((pairs, field(cursor)?));
    }
    let start = cursor.object()?;
    while let Some(key) = cursor.member()? {
        pairs.push((key, cursor.string()?));
    }
    Ok((pairs, Field { span: Some(start..cursor.position()), null: false }))
}

fn containers(cursor: &mut Cursor) -> Result<(Vec<Container>, Field), Malformed> {
    let mut list = Vec::new();
    if cursor.clone().null() {
        return Ok((list, field(cursor)?));
    }
    let span = cursor.elements(&mut |cursor| {
        if list.len() == CONTAINERS {
            return Err(Malformed { at: cursor.position(), wanted: "no more than 10000 containers" });
        }
        Container::read(cursor).map(|it| list.push(it))
    })?;
    Ok((list, Field { span: Some(span), null: false }))
}

impl Container {
    fn read(cursor: &mut Cursor) -> Result<Self, Malformed> {
        let mut container = Self::default();
        container.object = cursor.members(&mut |cursor, key| match key {
            b"name" => cursor.string().map(|it| container.name = Some(it.span())),
            b"command" => field(cursor).map(|it| container.command = it),
            b"env" => field(cursor).map(|it| container.env = it),
            b"volumeDevices" => field(cursor).map(|it| container.volume_devices = it),
            b"volumeMounts" => field(cursor).map(|it| container.volume_mounts = it),
            _ => cursor.pass(),
        })?;
        Ok(container)
    }
}
