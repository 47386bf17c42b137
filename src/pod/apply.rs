//! The one place that edits JSON: splices a plan into the text of a pod.
//!
//! What is there already stays as it is, so that a second pass changes nothing; what the plan does not name survives
//! byte for byte.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::plan::{ContainerName, InitContainer, Plan, Resources, SecretItem, SecretVolume, Source, Variable};
use super::view::{Container, Field, Object, Span, View};
use crate::json::{Cursor, Malformed};

/// Something in the pod stands in the plan's way, or is not what Kubernetes has there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// Not the type that Kubernetes gives the field.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A volume of the user's has the name that ours needs.
    #[error("the pod has a volume {0:?} of its own, a name that the secrets' volume needs; rename it")]
    Volume(String),
    /// A mount of the user's is where ours must be.
    #[error("container {container:?} already mounts {volume:?} at {path}, where secrets are mounted; mount it elsewhere")]
    Mount {
        /// The container.
        container: String,
        /// What it mounts.
        volume: String,
        /// Where.
        path: String,
    },
}

/// The text of the pod with the plan in it.
///
/// # Errors
/// Something in the pod stands in the plan's way.
pub fn apply(view: &View, plan: &Plan) -> Result<Vec<u8>, Conflict> {
    let mut edits = Edits { text: view.text, list: Vec::new() };
    let mut spec = view.spec.clone();
    let ours = init_containers(view, plan, &mut spec, &mut edits)?;
    let additions = Additions::of(plan);
    let users = view.init_containers.iter().enumerate().filter(|(at, _)| !ours.contains(at)).map(|(_, user)| user);
    for container in view.containers.iter().chain(users) {
        additions.edit(container, &mut edits)?;
    }
    volumes(view, plan, &mut spec, &mut edits)?;
    annotations(view, plan, &mut edits);
    image_pull_secrets(view, plan, &mut spec, &mut edits)?;
    Ok(edits.splice(&view.pod.span))
}

/// Replacements of places in the text; an empty place is an insertion.
struct Edits<'a> {
    text: &'a [u8],
    list: Vec<(Span, Vec<u8>)>,
}

impl<'a> Edits<'a> {
    fn at(&self, span: &Span) -> &'a [u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn replace(&mut self, span: &Span, with: Vec<u8>) {
        self.list.push((span.clone(), with));
    }

    /// Sets a member of `owner` to `value`, whether it is there or not.
    fn set(&mut self, owner: &mut Object, name: &str, field: &Field, value: Vec<u8>) {
        match &field.span {
            Some(span) => self.replace(span, value),
            None => {
                let comma: &[u8] = if owner.empty { b"" } else { b"," };
                owner.empty = false;
                let end = owner.span.end.saturating_sub(1);
                self.replace(&(end..end), [comma, b"\"", name.as_bytes(), b"\":", &value].concat());
            }
        }
    }

    /// Adds `items` at the end of the list or object in `field`; `brackets` are its own.
    fn append(&mut self, owner: &mut Object, name: &str, field: &Field, brackets: [&[u8]; 2], items: Vec<u8>) {
        if items.is_empty() {
            return;
        }
        let inner = field.span.as_ref().filter(|_| !field.null).map(|span| span.start + 1..span.end.saturating_sub(1));
        match inner {
            Some(inner) => {
                let comma: &[u8] = if self.at(&inner).trim_ascii().is_empty() { b"" } else { b"," };
                self.replace(&(inner.end..inner.end), [comma, &items].concat());
            }
            None => {
                let [open, close] = brackets;
                self.set(owner, name, field, [open, &items, close].concat());
            }
        }
    }

    fn splice(mut self, span: &Span) -> Vec<u8> {
        self.list.sort_by_key(|(place, _)| place.start);
        let more: usize = self.list.iter().map(|(_, with)| with.len()).sum();
        let mut spliced = Vec::with_capacity(span.len() + more);
        let mut from = span.start;
        for (place, with) in &self.list {
            spliced.extend_from_slice(self.at(&(from..place.start)));
            spliced.extend_from_slice(with);
            from = place.end;
        }
        spliced.extend_from_slice(self.at(&(from..span.end)));
        spliced
    }
}

const LIST: [&[u8]; 2] = [b"[", b"]"];
const OBJECT: [&[u8]; 2] = [b"{", b"}"];

/// Items as JSON, with commas between them and no brackets.
fn joined<T: Serialize>(items: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut text = Vec::new();
    for item in items {
        if !text.is_empty() {
            text.push(b',');
        }
        write_json(&item, &mut text);
    }
    text
}

fn write_json(value: &impl Serialize, text: &mut Vec<u8>) {
    // Strings and maps of strings, into memory: nothing that could fail.
    let _ = serde_json::to_writer(text, value);
}

/// What every container that is not ours gets, rendered once.
struct Additions<'a> {
    variables: Vec<u8>,
    names: BTreeSet<&'a str>,
    mounts: Vec<(MountJson<'a>, Vec<u8>)>,
}

impl<'a> Additions<'a> {
    fn of(plan: &'a Plan) -> Self {
        let variables = plan.variables_in_place();
        let mounts = plan.mounts.iter().filter_map(|mount| {
            let name = mount.volume.as_deref().or(plan.memory_volume.as_deref())?;
            let json = MountJson { name, read_only: true, mount_path: &mount.path };
            Some((json, joined([json])))
        });
        Self {
            names: variables.iter().map(|variable| variable.name.as_str()).collect(),
            variables: joined(variables.into_iter().map(VariableJson::of)),
            mounts: mounts.collect(),
        }
    }

    fn edit(&self, container: &Container, edits: &mut Edits) -> Result<(), Conflict> {
        let mut owner = container.object.clone();
        if !self.names.is_empty() {
            let env = with_variables(edits, &container.env, &self.variables, |name| self.names.contains(name))?;
            edits.set(&mut owner, "env", &container.env, env);
        }
        if !self.mounts.is_empty() {
            let missing = self.missing_mounts(container, edits)?;
            edits.append(&mut owner, "volumeMounts", &container.volume_mounts, LIST, missing);
        }
        Ok(())
    }

    fn missing_mounts(&self, container: &Container, edits: &Edits) -> Result<Vec<u8>, Conflict> {
        let mut found: Vec<(Cow<str>, Cow<str>)> = Vec::new();
        elements(edits.text, &container.volume_mounts, |cursor| {
            let (mut name, mut path) = (Cow::Borrowed(""), Cow::Borrowed(""));
            cursor.object(|cursor, key| {
                match &*key.bytes() {
                    b"name" => name = cursor.string()?.read()?,
                    b"mountPath" => path = cursor.string()?.read()?,
                    _ => drop(cursor.skip()?),
                }
                Ok::<(), Malformed>(())
            })?;
            found.push((name, path));
            Ok(())
        })?;
        let mut missing = Vec::new();
        for (mount, text) in &self.mounts {
            let there = |path: &str| path.trim_end_matches('/') == mount.mount_path.trim_end_matches('/');
            match found.iter().find(|(_, path)| there(path)) {
                Some((name, _)) if name == mount.name => {}
                Some((name, path)) => {
                    return Err(Conflict::Mount {
                        container: container_name(container, edits).unwrap_or_default(),
                        volume: name.clone().into_owned(),
                        path: path.clone().into_owned(),
                    })
                }
                None => {
                    let comma: &[u8] = if missing.is_empty() { b"" } else { b"," };
                    missing.extend_from_slice(comma);
                    missing.extend_from_slice(text);
                }
            }
        }
        Ok(missing)
    }
}

/// Walks the elements of a list that may be missing.
fn elements<'a>(
    text: &'a [u8],
    field: &Field,
    visit: impl FnMut(&mut Cursor<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    match &field.span {
        Some(span) if !field.null => Cursor::at(text, span).array(visit).map(drop),
        _ => Ok(()),
    }
}

/// A list of variables with `new` in front, and without those that `replaced` names.
fn with_variables(
    edits: &Edits,
    env: &Field,
    new: &[u8],
    replaced: impl Fn(&str) -> bool,
) -> Result<Vec<u8>, Malformed> {
    let mut list = [b"[", new].concat();
    elements(edits.text, env, |cursor| {
        let mut stays = true;
        let span = cursor.object(|cursor, key| match &*key.bytes() {
            b"name" => {
                stays = !replaced(&cursor.string()?.read()?);
                Ok(())
            }
            _ => cursor.skip().map(drop),
        })?;
        if stays {
            list.push(b',');
            list.extend_from_slice(edits.at(&span));
        }
        Ok(())
    })?;
    list.push(b']');
    Ok(list)
}

fn container_name(container: &Container, edits: &Edits) -> Option<String> {
    serde_json::from_slice(edits.at(container.name.as_ref()?)).ok()
}

/// Adds the init-containers that are not there yet, and says which of those that are there are ours.
fn init_containers(
    view: &View,
    plan: &Plan,
    spec: &mut Object,
    edits: &mut Edits,
) -> Result<BTreeSet<usize>, Conflict> {
    let mut ours = BTreeSet::new();
    if plan.init_containers.is_empty() {
        return Ok(ours);
    }
    let volume = plan.memory_volume.as_deref().unwrap_or_default();
    let mut names: Vec<String> =
        view.init_containers.iter().map(|user| container_name(user, edits).unwrap_or_default()).collect();
    // A container of the pod's own may have the name as well: Kubernetes wants names unique across both lists.
    let taken: Vec<String> = view.containers.iter().filter_map(|user| container_name(user, edits)).collect();
    let mut added = Vec::new();
    for planned in &plan.init_containers {
        let mut there = None;
        for (at, container) in view.init_containers.iter().enumerate() {
            let named = names.get(at).is_some_and(|name| planned.name.covers(name));
            if there.is_none() && named && !ours.contains(&at) && is_ours(container, planned, edits)? {
                there = Some((at, container));
            }
        }
        if let Some((at, container)) = there {
            ours.insert(at);
            if matches!(planned.name, ContainerName::Shared(_)) {
                refresh(container, planned, edits)?;
            }
            continue;
        }
        let name = planned.name.choose(&names, &taken);
        added.push(ContainerJson::of(planned, &name, volume));
        names.push(name);
    }
    edits.append(spec, "initContainers", &view.init_containers_field, LIST, joined(added));
    Ok(ours)
}

impl ContainerName {
    /// Whether a container of ours may be called so.
    fn covers(&self, name: &str) -> bool {
        let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit());
        match self {
            Self::Numbered(prefix) => name.strip_prefix(prefix).is_some_and(number),
            Self::Shared(base) => match name.strip_prefix(base.as_str()) {
                Some("") => true,
                Some(rest) => rest.strip_prefix('-').is_some_and(number),
                None => false,
            },
        }
    }

    /// A free name for the container that follows the init-containers `names`.
    fn choose(&self, names: &[String], taken: &[String]) -> String {
        let free = |name: &String| !names.contains(name) && !taken.contains(name);
        let numbered = |from: usize, prefix: &str| {
            (from..).map(|number| [prefix, &number.to_string()].concat()).find(free).unwrap_or_default()
        };
        match self {
            Self::Numbered(prefix) => numbered(names.len(), prefix),
            Self::Shared(base) if free(base) => base.clone(),
            Self::Shared(base) => numbered(1, &[base, "-"].concat()),
        }
    }
}

/// Whether an init-container that is there came from this plan in an earlier pass: the same command and variables. A
/// shared one is recognised by its command, because its variables may have new values.
fn is_ours(container: &Container, planned: &InitContainer, edits: &Edits) -> Result<bool, Conflict> {
    let command: Vec<String> = match &container.command.span {
        Some(span) => serde_json::from_slice::<Option<_>>(edits.at(span)).ok().flatten().unwrap_or_default(),
        None => Vec::new(),
    };
    if command != planned.command {
        return Ok(false);
    }
    if matches!(planned.name, ContainerName::Shared(_)) {
        return Ok(true);
    }
    let mut found: Vec<Cow<[u8]>> = Vec::new();
    elements(edits.text, &container.env, |cursor| {
        found.push(Cow::Borrowed(edits.at(&cursor.skip()?)));
        Ok(())
    })?;
    let pairs: Vec<LiteralJson> = found.iter().filter_map(|text| serde_json::from_slice(text).ok()).collect();
    Ok(planned.variables.iter().all(|variable| match &variable.source {
        Source::Literal(value) => {
            let value = escape_expansion(value);
            pairs.iter().any(|pair| pair.name == variable.name && pair.value == value)
        }
        Source::SecretKey { .. } => false,
    }))
}

/// Gives the shared init-container that is there its variables, if they are not the ones that it has.
fn refresh(container: &Container, planned: &InitContainer, edits: &mut Edits) -> Result<(), Conflict> {
    let variables = joined(planned.variables.iter().map(VariableJson::of));
    let names: BTreeSet<&str> = planned.variables.iter().map(|variable| variable.name.as_str()).collect();
    let env = with_variables(edits, &container.env, &variables, |name| names.contains(name))?;
    edits.set(&mut container.object.clone(), "env", &container.env, env);
    Ok(())
}

/// A volume that is there, as far as it matters whether it is ours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoundVolume {
    secret: Option<FoundSecret>,
    empty_dir: Option<FoundEmptyDir>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoundSecret {
    #[serde(default)]
    secret_name: String,
    items: Option<Vec<FoundItem>>,
}

#[derive(Deserialize)]
struct FoundItem {
    #[serde(default)]
    key: String,
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct FoundEmptyDir {
    #[serde(default)]
    medium: String,
}

/// Adds the volumes that are not there yet, and items to those of ours that are.
fn volumes(view: &View, plan: &Plan, spec: &mut Object, edits: &mut Edits) -> Result<(), Conflict> {
    if plan.secret_volumes.is_empty() && plan.memory_volume.is_none() {
        return Ok(());
    }
    let mut found: Vec<(Cow<str>, Span)> = Vec::new();
    elements(view.text, &view.volumes, |cursor| {
        let mut name = Cow::Borrowed("");
        let span = cursor.object(|cursor, key| match &*key.bytes() {
            b"name" => cursor.string()?.read().map(|text| name = text),
            _ => cursor.skip().map(drop),
        })?;
        found.push((name, span));
        Ok(())
    })?;
    let place = |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, span)| span);
    let taken = |name: &str| Conflict::Volume(name.to_owned());
    let mut added = Vec::new();
    for volume in &plan.secret_volumes {
        match place(&volume.name) {
            None => added.push(VolumeJson::secret(volume)),
            Some(span) => {
                let there: FoundVolume =
                    serde_json::from_slice(edits.at(span)).map_err(|_| taken(&volume.name))?;
                let items = there.secret.filter(|secret| secret.secret_name == volume.secret).and_then(|it| it.items);
                let items = items.ok_or_else(|| taken(&volume.name))?;
                let known = |item: &&SecretItem| items.iter().any(|it| it.key == item.key && it.path == item.path);
                let missing = joined(volume.items.iter().filter(|item| !known(item)));
                add_items(view.text, span, missing, edits)?;
            }
        }
    }
    if let Some(name) = &plan.memory_volume {
        match place(name) {
            None => added.push(VolumeJson::memory(name)),
            Some(span) => {
                let there: Option<FoundVolume> = serde_json::from_slice(edits.at(span)).ok();
                there
                    .and_then(|volume| volume.empty_dir)
                    .filter(|volume| volume.medium == "Memory")
                    .ok_or_else(|| taken(name))?;
            }
        }
    }
    edits.append(spec, "volumes", &view.volumes, LIST, joined(added));
    Ok(())
}

/// Adds items to the Secret volume that stands at `span`.
fn add_items(text: &[u8], span: &Span, items: Vec<u8>, edits: &mut Edits) -> Result<(), Conflict> {
    let mut list = Field::default();
    Cursor::at(text, span).object(|cursor, key| match &*key.bytes() {
        b"secret" => cursor
            .object(|cursor, key| match &*key.bytes() {
                b"items" => {
                    list.span = Some(cursor.skip()?);
                    Ok(())
                }
                _ => cursor.skip().map(drop),
            })
            .map(drop),
        _ => cursor.skip().map(drop),
    })?;
    edits.append(&mut Object::default(), "items", &list, LIST, items);
    Ok(())
}

/// Adds annotations that the pod does not have; those that replace the pod's own do.
fn annotations(view: &View, plan: &Plan, edits: &mut Edits) {
    let mut added = Vec::new();
    for annotation in &plan.annotations {
        match view.annotation(&annotation.key) {
            None => {
                if !added.is_empty() {
                    added.push(b',');
                }
                write_json(&annotation.key, &mut added);
                added.push(b':');
                write_json(&annotation.value, &mut added);
            }
            Some(own) if annotation.replaces => {
                let mut value = Vec::new();
                write_json(&annotation.value, &mut value);
                edits.replace(&own.span(), value);
            }
            Some(_) => {}
        }
    }
    edits.append(&mut view.metadata.clone(), "annotations", &view.annotations_field, OBJECT, added);
}

/// Adds Secrets to pull images with; the list is sorted by name, as Flyte sorts it, when one is new.
fn image_pull_secrets(view: &View, plan: &Plan, spec: &mut Object, edits: &mut Edits) -> Result<(), Conflict> {
    if plan.image_pull_secrets.is_empty() {
        return Ok(());
    }
    let mut list: Vec<(Cow<str>, Cow<[u8]>)> = Vec::new();
    elements(view.text, &view.image_pull_secrets, |cursor| {
        let mut name = Cow::Borrowed("");
        let span = cursor.object(|cursor, key| match &*key.bytes() {
            b"name" => cursor.string()?.read().map(|text| name = text),
            _ => cursor.skip().map(drop),
        })?;
        list.push((name, Cow::Borrowed(edits.at(&span))));
        Ok(())
    })?;
    let there = list.len();
    for name in &plan.image_pull_secrets {
        if !list.iter().any(|(known, _)| known == name) {
            list.push((Cow::Borrowed(name), Cow::Owned(joined([NameJson { name }]))));
        }
    }
    if list.len() > there {
        list.sort_by(|(one, _), (other, _)| one.cmp(other));
        let items: Vec<&[u8]> = list.iter().map(|(_, text)| &**text).collect();
        let value = [b"[", items.join(&b',').as_slice(), b"]"].concat();
        edits.set(spec, "imagePullSecrets", &view.image_pull_secrets, value);
    }
    Ok(())
}

/// Doubles each `$` that Kubernetes would take for the start of `$(NAME)` or for an escaped `$`.
///
/// Source: `third_party/forked/golang/expansion` of Kubernetes.
fn escape_expansion(value: &str) -> Cow<'_, str> {
    if !value.contains("$$") && !value.contains("$(") {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        escaped.push(character);
        let next = rest.as_str();
        if character == '$' && (next.starts_with('$') || next.starts_with('(') && next.contains(')')) {
            escaped.push('$');
        }
    }
    Cow::Owned(escaped)
}

#[derive(Serialize)]
struct NameJson<'a> {
    name: &'a str,
}

#[derive(Deserialize)]
struct LiteralJson {
    name: String,
    #[serde(default)]
    value: String,
}

/// `EnvVar`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VariableJson<'a> {
    name: &'a str,
    // As the API server stores it: an empty value is no member.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_from: Option<ValueFromJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValueFromJson<'a> {
    secret_key_ref: SecretKeyJson<'a>,
}

#[derive(Serialize)]
struct SecretKeyJson<'a> {
    name: &'a str,
    key: &'a str,
    optional: bool,
}

impl<'a> VariableJson<'a> {
    fn of(variable: &'a Variable) -> Self {
        let (value, value_from) = match &variable.source {
            Source::Literal(value) => (Some(escape_expansion(value)).filter(|value| !value.is_empty()), None),
            Source::SecretKey { secret, key, optional } => {
                let secret_key_ref = SecretKeyJson { name: secret, key, optional: *optional };
                (None, Some(ValueFromJson { secret_key_ref }))
            }
        };
        Self { name: &variable.name, value, value_from }
    }
}

/// `VolumeMount`.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct MountJson<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    mount_path: &'a str,
}

/// `Volume`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeJson<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<SecretVolumeJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    empty_dir: Option<EmptyDirJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretVolumeJson<'a> {
    secret_name: &'a str,
    items: &'a [SecretItem],
    optional: bool,
}

#[derive(Serialize)]
struct EmptyDirJson {
    medium: &'static str,
}

impl<'a> VolumeJson<'a> {
    fn secret(volume: &'a SecretVolume) -> Self {
        let SecretVolume { name, secret, items, optional } = volume;
        let secret = SecretVolumeJson { secret_name: secret, items, optional: *optional };
        Self { name, secret: Some(secret), empty_dir: None }
    }

    fn memory(name: &'a str) -> Self {
        Self { name, secret: None, empty_dir: Some(EmptyDirJson { medium: "Memory" }) }
    }
}

/// `Container`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerJson<'a> {
    name: String,
    image: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    command: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<VariableJson<'a>>,
    resources: &'a Resources,
    volume_mounts: [MountJson<'a>; 1],
}

impl<'a> ContainerJson<'a> {
    fn of(container: &'a InitContainer, name: &str, volume: &'a str) -> Self {
        Self {
            name: name.to_owned(),
            image: &container.image,
            command: &container.command,
            env: container.variables.iter().map(VariableJson::of).collect(),
            resources: &container.resources,
            volume_mounts: [MountJson { name: volume, read_only: false, mount_path: container.mount_path }],
        }
    }
}
