//! The one place that edits JSON: splices a plan into the text of a pod.
//!
//! What is there already stays as it is, so that a second pass changes nothing; what the plan does not name survives
//! byte for byte.

use std::borrow::Cow;

use super::limits::{check_init_containers, TooLarge};
use super::plan::{
    ContainerName, InitContainer, Merged, OwnVariable, Plan, Resources, SecretItem, SecretVolume, Source, Variable,
    Volume,
};
use super::view::{Container, Field, Pair, Span, View};
use crate::index::{compare, Index};
use crate::json::{Cursor, Malformed, Writer};

/// Something in the pod stands in the plan's way, or is not what Kubernetes has there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// Not the type that Kubernetes gives the field.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More than Kubernetes stores, or nodes start.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A volume of the user's has the name that ours needs.
    #[error("the pod has a volume {0:?} of its own, a name that the secrets' volume needs; rename it")]
    Volume(String),
    /// A mount of the user's is where ours must be.
    #[error(
        "container {container:?} already mounts {volume:?} at {}, where secrets are mounted; mount it elsewhere",
        path.escape_debug()
    )]
    Mount {
        /// The container.
        container: String,
        /// What it mounts.
        volume: String,
        /// Where.
        path: String,
    },
}

/// The pod with the plan in it.
///
/// # Errors
/// Something in the pod stands in the plan's way.
pub fn apply<'a>(view: &View<'a>, merged: &Merged) -> Result<Edited<'a>, Conflict> {
    let plan = merged.plan();
    if view.spec.is_empty() || view.metadata.is_empty() {
        return Err(Malformed { at: view.pod.start, wanted: "a pod with metadata and a spec" }.into());
    }
    let mut edits = Edited { text: view.text, pod: view.pod.clone(), edits: Vec::new() };
    let mut spec = Owner::of(view.text, &view.spec);
    let ours = init_containers(view, plan, &mut spec, &mut edits)?;
    let additions = Additions::of(merged);
    let users = view.init_containers.iter().enumerate().filter(|(at, _)| !ours.contains(at)).map(|(_, user)| user);
    for container in view.containers.iter().chain(users) {
        additions.edit(container, &mut edits)?;
    }
    volumes(view, plan, &mut spec, &mut edits)?;
    annotations(view, plan, &mut edits);
    image_pull_secrets(view, plan, &mut spec, &mut edits)?;
    Ok(edits)
}

/// A pod and what is to be changed in it: replacements of places in its text, in the order in which these stand; an
/// empty place is an insertion.
pub struct Edited<'a> {
    text: &'a [u8],
    pod: Span,
    edits: Vec<(Span, Vec<u8>)>,
}

impl std::fmt::Debug for Edited<'_> {
    /// What is written may hold a secret's value.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Edited({} changes)", self.edits.len())
    }
}

/// An object to which members are added.
struct Owner {
    /// Where its closing bracket stands.
    close: usize,
    /// Whether it has no members yet.
    empty: bool,
}

impl Owner {
    fn of(text: &[u8], span: &Span) -> Self {
        let close = span.end.saturating_sub(1);
        let inner = text.get(span.start + 1..close).unwrap_or_default();
        Self { close, empty: inner.trim_ascii().is_empty() }
    }
}

impl<'a> Edited<'a> {
    fn at(&self, span: &Span) -> &'a [u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn replace(&mut self, span: Span, with: Vec<u8>) {
        let after = self.edits.partition_point(|(place, _)| place.start <= span.start);
        self.edits.insert(after, (span, with));
    }

    /// Sets a member of `owner` to `value`, whether it is there or not.
    fn set(&mut self, owner: &mut Owner, name: &str, field: &Field, value: Vec<u8>) {
        match &field.span {
            Some(span) => self.replace(span.clone(), value),
            None => {
                let comma: &[u8] = if owner.empty { b"" } else { b"," };
                owner.empty = false;
                self.replace(owner.close..owner.close, [comma, b"\"", name.as_bytes(), b"\":", &value].concat());
            }
        }
    }

    /// Adds `items` at the end of the list or object in `field`; `brackets` are its own.
    fn append(&mut self, owner: &mut Owner, name: &str, field: &Field, brackets: [&[u8]; 2], items: &[u8]) {
        if items.is_empty() {
            return;
        }
        match &field.span {
            Some(span) if !field.null => {
                let Owner { close, empty } = Owner::of(self.text, span);
                let comma: &[u8] = if empty { b"" } else { b"," };
                self.replace(close..close, [comma, items].concat());
            }
            _ => {
                let [open, close] = brackets;
                self.set(owner, name, field, [open, items, close].concat());
            }
        }
    }

    /// How long the text of the pod is at most.
    pub fn size(&self) -> usize {
        self.pod.len() + self.edits.iter().map(|(_, with)| with.len()).sum::<usize>()
    }

    /// Writes the pod as it is to be.
    pub fn write(&self, json: &mut Writer) {
        let mut from = self.pod.start;
        for (place, with) in &self.edits {
            json.fragment(self.at(&(from..place.start))).fragment(with);
            from = place.end;
        }
        json.fragment(self.at(&(from..self.pod.end)));
    }
}

const LIST: [&[u8]; 2] = [b"[", b"]"];
const OBJECT: [&[u8]; 2] = [b"{", b"}"];

/// An element of a list in which names count: variables, mounts, volumes, Secrets to pull images with.
#[derive(Default)]
struct Element<'a> {
    name: Cow<'a, str>,
    /// Of mounts and devices alone.
    mount_path: Cow<'a, str>,
    /// Of variables alone.
    value: Cow<'a, str>,
    span: Span,
}

/// The elements of a list that may be missing.
fn elements<'a>(text: &'a [u8], field: &Field) -> Result<Vec<Element<'a>>, Malformed> {
    let Some(span) = field.span.as_ref().filter(|_| !field.null) else { return Ok(Vec::new()) };
    let mut found = Vec::with_capacity(16);
    let mut cursor = Cursor::at(text, span);
    cursor.elements(&mut |cursor| {
        let mut element = Element::default();
        element.span = cursor.members(&mut |cursor, key| match key {
            b"name" => cursor.text().map(|it| element.name = it),
            b"mountPath" | b"devicePath" => cursor.text().map(|it| element.mount_path = it),
            b"value" if cursor.peek() == Some(b'"') => cursor.text().map(|it| element.value = it),
            _ => cursor.pass(),
        })?;
        found.push(element);
        Ok(())
    })?;
    Ok(found)
}

/// What every container that is not ours gets, rendered once.
struct Additions<'a> {
    variables: Writer,
    merged: &'a Merged<'a>,
    mounts: Vec<VolumeMount<'a>>,
}

impl<'a> Additions<'a> {
    fn of(merged: &'a Merged<'a>) -> Self {
        let memory = merged.plan().memory_volume();
        let mut additions = Self { variables: Writer::default(), merged, mounts: Vec::new() };
        // References to Secrets, with names of ordinary length.
        additions.variables.reserve(192 * merged.plan().variables.len());
        merged.variables().for_each(|variable| variable.render(&mut additions.variables));
        for mount in &merged.plan().mounts {
            if let Some(name) = mount.volume.or(memory) {
                additions.mounts.push(VolumeMount { name, read_only: true, mount_path: mount.path });
            }
        }
        additions
    }

    fn edit(&self, container: &Container, edits: &mut Edited) -> Result<(), Conflict> {
        let mut owner = Owner::of(edits.text, &container.object);
        if !self.merged.plan().variables.is_empty() {
            let ours = |name: &str| self.merged.has_variable(name);
            set_variables(container, &mut owner, self.variables.bytes(), &ours, edits)?;
        }
        if !self.mounts.is_empty() {
            let missing = self.missing_mounts(container, edits)?;
            edits.append(&mut owner, "volumeMounts", &container.volume_mounts, LIST, &missing);
        }
        Ok(())
    }

    fn missing_mounts(&self, container: &Container, edits: &Edited) -> Result<Vec<u8>, Conflict> {
        let mut found = elements(edits.text, &container.volume_mounts)?;
        found.extend(elements(edits.text, &container.volume_devices)?);
        let mut missing = Writer::default();
        for mount in &self.mounts {
            match found.iter().find(|there| is_at(&there.mount_path, mount.mount_path)) {
                None => mount.render(&mut missing),
                Some(there) if there.name == mount.name => {}
                Some(there) => {
                    return Err(Conflict::Mount {
                        container: container.name(edits.text),
                        volume: there.name.clone().into_owned(),
                        path: there.mount_path.clone().into_owned(),
                    })
                }
            }
        }
        Ok(missing.into_bytes())
    }
}

/// Whether a path leads to a place, which is written plainly. Relative paths start at the root of the container.
fn is_at(path: &str, place: &str) -> bool {
    let odd = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    if path.starts_with('/') && !path.ends_with('/') && !path.as_bytes().windows(2).any(odd) {
        return compare(path, place).is_eq();
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.into_iter().eq(place.split('/').skip(1))
}

/// Puts the variables `new` in front of a container's own; of these, the ones that are `ours` by name go.
fn set_variables(
    container: &Container,
    owner: &mut Owner,
    new: &[u8],
    ours: &dyn Fn(&str) -> bool,
    edits: &mut Edited,
) -> Result<(), Conflict> {
    let mut env = Writer::default();
    env.reserve(new.len() + container.env.span.as_ref().map_or(2, |span| span.len() + 1));
    env.list().raw(new);
    for variable in elements(edits.text, &container.env)? {
        if !ours(&variable.name) {
            env.raw(edits.at(&variable.span));
        }
    }
    env.end_list();
    edits.set(owner, "env", &container.env, env.into_bytes());
    Ok(())
}

impl Container {
    fn name(&self, text: &[u8]) -> String {
        let name = self.name.as_ref().and_then(|span| Cursor::at(text, span).string().ok()?.read().ok());
        name.unwrap_or_default().into_owned()
    }

    /// Its command, word by word.
    fn command<'a>(&self, text: &'a [u8]) -> Result<Vec<Cow<'a, str>>, Malformed> {
        let mut words = Vec::new();
        let Some(span) = self.command.span.as_ref().filter(|_| !self.command.null) else { return Ok(words) };
        let mut cursor = Cursor::at(text, span);
        cursor.elements(&mut |cursor| cursor.text().map(|it| words.push(it)))?;
        Ok(words)
    }
}

/// Adds the init-containers that are not there yet, and says which of those that are there are ours.
fn init_containers(view: &View, plan: &Plan, spec: &mut Owner, edits: &mut Edited) -> Result<Vec<usize>, Conflict> {
    let mut ours = Vec::new();
    if plan.init_containers.is_empty() {
        return Ok(ours);
    }
    let volume = plan.memory_volume().unwrap_or_default();
    let names: Vec<String> = view.init_containers.iter().map(|user| user.name(view.text)).collect();
    let there = candidates(view, plan, &names)?;
    // Kubernetes wants names unique across both lists.
    let others: Vec<String> = view.containers.iter().map(|user| user.name(view.text)).collect();
    let mut free =
        FreeNames { pod: Index::default(), init_containers: names.len(), added: Vec::new(), last: Vec::new() };
    for name in names.iter().chain(&others) {
        free.pod.insert(name, 0);
    }
    let mut added = Writer::default();
    for planned in &plan.init_containers {
        let own = there.iter().find(|candidate| !ours.contains(&candidate.at) && candidate.is(planned, volume));
        match own {
            Some(candidate) => {
                ours.push(candidate.at);
                if let (ContainerName::Shared(_), Some(there)) = (&planned.name, view.init_containers.get(candidate.at))
                {
                    refresh(there, planned, edits)?;
                }
            }
            None => render_container(planned, free.choose(&planned.name), volume, &mut added),
        }
    }
    edits.append(spec, "initContainers", &view.init_containers_field, LIST, added.bytes());
    Ok(ours)
}

/// An init-container that is there and may be ours, from an earlier pass.
struct Candidate<'a> {
    at: usize,
    name: &'a str,
    command: Vec<Cow<'a, str>>,
    variables: Vec<Element<'a>>,
    mounts: Vec<Element<'a>>,
}

fn candidates<'a>(view: &View<'a>, plan: &Plan, names: &'a [String]) -> Result<Vec<Candidate<'a>>, Conflict> {
    let mut found = Vec::new();
    for (at, (container, name)) in view.init_containers.iter().zip(names).enumerate() {
        if plan.init_containers.iter().any(|planned| planned.name.covers(name)) {
            check_init_containers(found.len())?;
            found.push(Candidate {
                at,
                name,
                command: container.command(view.text)?,
                variables: elements(view.text, &container.env)?,
                mounts: elements(view.text, &container.volume_mounts)?,
            });
        }
    }
    Ok(found)
}

impl Candidate<'_> {
    /// Whether it is this container of ours: it does the same, with the same variables, in our volume. A shared one is known
    /// without its variables, which may have new values; and each without its image, which other webhooks may change.
    fn is(&self, planned: &InitContainer, volume: &str) -> bool {
        let has = |variable: &OwnVariable| {
            let value = variable.value();
            let value = escape_expansion(&value);
            self.variables.iter().any(|there| there.name == variable.name && there.value == value)
        };
        let writes = |mount: &Element| mount.name == volume && mount.mount_path == planned.mount_path;
        planned.name.covers(self.name)
            && self.command == planned.command
            && self.mounts.iter().any(writes)
            && (matches!(planned.name, ContainerName::Shared(_)) || planned.variables.iter().all(has))
    }
}

/// Gives the shared init-container that is there the variables as they are now.
fn refresh(container: &Container, planned: &InitContainer, edits: &mut Edited) -> Result<(), Conflict> {
    let mut variables = Writer::default();
    planned.variables.iter().for_each(|variable| variable.render(&mut variables));
    let ours = |name: &str| planned.variables.iter().any(|variable| variable.name == name);
    let mut owner = Owner::of(edits.text, &container.object);
    set_variables(container, &mut owner, variables.bytes(), &ours, edits)
}

impl ContainerName<'_> {
    /// Whether a container of ours may be called so.
    fn covers(&self, name: &str) -> bool {
        let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit());
        match self {
            Self::Numbered(prefix) => name.strip_prefix(prefix).is_some_and(number),
            Self::Shared(base) => match name.strip_prefix(base) {
                Some("") => true,
                Some(rest) => rest.strip_prefix('-').is_some_and(number),
                None => false,
            },
        }
    }
}

/// Names for containers of ours.
struct FreeNames<'a> {
    /// Those of the pod's own containers.
    pod: Index<'a>,
    /// How many init-containers there are, with ours.
    init_containers: usize,
    added: Vec<String>,
    /// The last number behind each prefix.
    last: Vec<(&'a str, usize)>,
}

impl<'a> FreeNames<'a> {
    /// A name for the init-container that comes next.
    fn choose(&mut self, name: &ContainerName<'a>) -> &str {
        let (prefix, from) = match name {
            ContainerName::Numbered(prefix) => (*prefix, self.init_containers),
            ContainerName::Shared(base) if self.is_free(base) => return self.take((*base).to_owned()),
            ContainerName::Shared(base) => (*base, 1),
        };
        let dash = if matches!(name, ContainerName::Shared(_)) { "-" } else { "" };
        // What was chosen before has left nothing free between its number and the one that it started from.
        let last = self.last.iter().find(|(known, _)| *known == prefix);
        let mut number = last.map_or(from, |(_, last)| from.max(*last + 1));
        let mut name = [prefix, dash, &number.to_string()].concat();
        while !self.is_free(&name) {
            number += 1;
            name = [prefix, dash, &number.to_string()].concat();
        }
        self.last.retain(|(known, _)| *known != prefix);
        self.last.push((prefix, number));
        self.take(name)
    }

    fn is_free(&self, name: &str) -> bool {
        self.pod.get(name).is_none() && !self.added.iter().any(|added| added == name)
    }

    fn take(&mut self, name: String) -> &str {
        self.init_containers += 1;
        self.added.push(name);
        self.added.last().map_or("", |name| name)
    }
}

/// What a volume that is there is made of, as far as it matters whether it is ours.
#[derive(Default)]
struct VolumeSource<'a> {
    secret: Option<Cow<'a, str>>,
    items: Field,
    medium: Option<Cow<'a, str>>,
}

impl<'a> VolumeSource<'a> {
    fn read(text: &'a [u8], span: &Span) -> Result<Self, Malformed> {
        let mut source = Self::default();
        let mut cursor = Cursor::at(text, span);
        cursor.members(&mut |cursor, key| match key {
            b"secret" | b"emptyDir" if cursor.peek() == Some(b'{') => source.read_inner(cursor),
            _ => cursor.pass(),
        })?;
        Ok(source)
    }

    /// Secrets and `emptyDir`s have no member of one name that means different things.
    fn read_inner(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        let read = cursor.members(&mut |cursor, key| match key {
            b"secretName" => cursor.text().map(|it| self.secret = Some(it)),
            b"items" if cursor.peek() == Some(b'[') => cursor.skip().map(|it| self.items.span = Some(it)),
            b"medium" => cursor.text().map(|it| self.medium = Some(it)),
            _ => cursor.pass(),
        });
        read.map(drop)
    }

    /// Whether it is a volume of chosen keys of this Secret.
    fn is_of(&self, secret: &str) -> bool {
        self.secret.as_deref() == Some(secret) && self.items.span.is_some()
    }

    /// The keys of its items, each with its path.
    fn items(&self, text: &'a [u8]) -> Result<Vec<Pair<'a>>, Malformed> {
        let mut items = Vec::new();
        let Some(span) = &self.items.span else { return Ok(items) };
        let mut cursor = Cursor::at(text, span);
        cursor.elements(&mut |cursor| {
            let (mut name, mut path) = Pair::default();
            cursor.members(&mut |cursor, key| match key {
                b"key" => cursor.text().map(|it| name = it),
                b"path" => cursor.text().map(|it| path = it),
                _ => cursor.pass(),
            })?;
            items.push((name, path));
            Ok(())
        })?;
        Ok(items)
    }
}

/// Adds the volumes that are not there yet, and items to those of ours that are.
fn volumes(view: &View, plan: &Plan, spec: &mut Owner, edits: &mut Edited) -> Result<(), Conflict> {
    if plan.volumes.is_empty() {
        return Ok(());
    }
    let found = elements(view.text, &view.volumes)?;
    let mut names = Index::default();
    // Of two with one name the first counts.
    for (at, volume) in found.iter().enumerate().rev() {
        names.insert(&volume.name, at);
    }
    let there = |name| match names.get(name).and_then(|at| found.get(at)) {
        Some(volume) => VolumeSource::read(view.text, &volume.span).map(Some),
        None => Ok(None),
    };
    let mut added = Writer::default();
    for volume in &plan.volumes {
        let name = match volume {
            Volume::Secret(SecretVolume { name, .. }) | Volume::Memory(name) => name,
        };
        let own = there(name)?;
        match (volume, own) {
            (_, None) => volume.render(&mut added),
            (Volume::Secret(volume), Some(own)) if own.is_of(volume.secret) => {
                add_items(&own, volume, edits)?;
            }
            (Volume::Memory(_), Some(own)) if own.medium.as_deref() == Some("Memory") => {}
            _ => return Err(Conflict::Volume((*name).to_owned())),
        }
    }
    edits.append(spec, "volumes", &view.volumes, LIST, added.bytes());
    Ok(())
}

/// Adds the items that a volume of ours does not have yet.
fn add_items(own: &VolumeSource, volume: &SecretVolume, edits: &mut Edited) -> Result<(), Conflict> {
    let there = own.items(edits.text)?;
    let mut missing = Writer::default();
    for item in &volume.items {
        match there.iter().find(|(_, path)| *path == item.path) {
            None => item.render(&mut missing),
            Some((key, _)) if *key == item.key => {}
            Some(_) => return Err(Conflict::Volume(volume.name.to_owned())),
        }
    }
    // The list is there, so nothing is added to an owner.
    edits.append(&mut Owner { close: 0, empty: true }, "items", &own.items, LIST, missing.bytes());
    Ok(())
}

/// Adds annotations that the pod does not have; those that replace the pod's own do.
fn annotations(view: &View, plan: &Plan, edits: &mut Edited) {
    let mut added = Writer::default();
    for annotation in &plan.annotations {
        match view.annotation(annotation.key) {
            None => {
                added.entry(annotation.key, annotation.value);
            }
            Some(own) if annotation.replaces => {
                let mut value = Writer::default();
                value.string(annotation.value);
                edits.replace(own.span(), value.into_bytes());
            }
            Some(_) => {}
        }
    }
    let mut metadata = Owner::of(view.text, &view.metadata);
    edits.append(&mut metadata, "annotations", &view.annotations_field, OBJECT, added.bytes());
}

/// Adds Secrets to pull images with; the list is sorted by name, as Flyte sorts it, when one is new.
fn image_pull_secrets(view: &View, plan: &Plan, spec: &mut Owner, edits: &mut Edited) -> Result<(), Conflict> {
    let found = elements(view.text, &view.image_pull_secrets)?;
    let mut sorted: Vec<(&str, Cow<[u8]>)> = Vec::new();
    let mut insert = |name, text| {
        let after = sorted.partition_point(|(known, _)| *known <= name);
        sorted.insert(after, (name, text));
    };
    let mut names = Index::default();
    for there in &found {
        names.insert(&there.name, 0);
        insert(&there.name, Cow::Borrowed(edits.at(&there.span)));
    }
    let mut new = false;
    for name in plan.image_pull_secrets.iter().filter(|name| names.insert(name, 0).is_none()) {
        let mut json = Writer::default();
        json.object().member("name", name).end_object();
        insert(name, Cow::Owned(json.into_bytes()));
        new = true;
    }
    if new {
        let mut list = Writer::default();
        list.list();
        for (_, text) in &sorted {
            list.raw(text);
        }
        list.end_list();
        edits.set(spec, "imagePullSecrets", &view.image_pull_secrets, list.into_bytes());
    }
    Ok(())
}

/// Doubles each `$` that Kubernetes would take for the start of `$(NAME)` or for an escaped `$`, and those before a
/// character beyond ASCII, of which Kubernetes before 1.36 carries over one byte alone (kubernetes/kubernetes#136325).
///
/// Source: `third_party/forked/golang/expansion` of Kubernetes.
fn escape_expansion(value: &str) -> Cow<'_, str> {
    if !value.contains('$') {
        return Cow::Borrowed(value);
    }
    let closed = value.rfind(')').unwrap_or_default();
    let mut escaped = String::with_capacity(value.len() + 8);
    let mut characters = value.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        escaped.push(character);
        let next = characters.peek().map(|(_, next)| *next).filter(|_| character == '$');
        match next {
            Some('$') => escaped.push('$'),
            Some('(') if at < closed => escaped.push('$'),
            Some(other) if !other.is_ascii() => escaped.push('$'),
            _ => {}
        }
    }
    Cow::Owned(escaped)
}

/// What is added, in Kubernetes' own fields, as the API server writes them: members that are empty are left out.
trait Render {
    fn render(&self, json: &mut Writer);
}

impl Render for Variable<'_> {
    /// `EnvVar`.
    fn render(&self, json: &mut Writer) {
        json.object().member("name", self.name);
        match self.source {
            Source::Literal("") => {}
            Source::Literal(value) => {
                json.member("value", &escape_expansion(value));
            }
            Source::SecretKey { secret, key, optional } => {
                json.key("valueFrom").object().key("secretKeyRef").object();
                json.member("name", secret).member("key", key).key("optional").boolean(optional);
                json.end_object().end_object();
            }
        }
        json.end_object();
    }
}

impl Render for SecretItem<'_> {
    /// `KeyToPath`.
    fn render(&self, json: &mut Writer) {
        json.object().member("key", self.key).member("path", self.path).end_object();
    }
}

impl Render for Volume<'_> {
    fn render(&self, json: &mut Writer) {
        json.object();
        match self {
            Self::Memory(name) => {
                json.member("name", name).key("emptyDir").object().member("medium", "Memory").end_object();
            }
            Self::Secret(SecretVolume { name, secret, items, optional }) => {
                json.member("name", name).key("secret").object().member("secretName", secret).key("items").list();
                items.iter().for_each(|item| item.render(json));
                json.end_list().key("optional").boolean(*optional).end_object();
            }
        }
        json.end_object();
    }
}

/// A mount whose volume has been settled.
struct VolumeMount<'a> {
    name: &'a str,
    read_only: bool,
    mount_path: &'a str,
}

impl Render for VolumeMount<'_> {
    fn render(&self, json: &mut Writer) {
        json.object().member("name", self.name);
        if self.read_only {
            json.key("readOnly").boolean(true);
        }
        json.member("mountPath", self.mount_path).end_object();
    }
}

impl Render for OwnVariable<'_> {
    /// `EnvVar`.
    fn render(&self, json: &mut Writer) {
        Variable { name: self.name, source: Source::Literal(&self.value()) }.render(json);
    }
}

impl Render for Resources<'_> {
    fn render(&self, json: &mut Writer) {
        json.object();
        for (name, amounts) in [("limits", &self.limits), ("requests", &self.requests)] {
            json.key(name).object();
            for (resource, amount) in amounts {
                json.entry(resource, amount);
            }
            json.end_object();
        }
        json.end_object();
    }
}

/// `Container`.
fn render_container(container: &InitContainer, name: &str, volume: &str, json: &mut Writer) {
    json.object().member("name", name).member("image", container.image);
    if !container.command.is_empty() {
        json.key("command").strings(&container.command);
    }
    if !container.variables.is_empty() {
        json.key("env").list();
        container.variables.iter().for_each(|variable| variable.render(json));
        json.end_list();
    }
    json.key("resources");
    container.resources.render(json);
    json.key("volumeMounts").list();
    VolumeMount { name: volume, read_only: false, mount_path: container.mount_path }.render(json);
    json.end_list().end_object();
}
