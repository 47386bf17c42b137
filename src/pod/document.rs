//! The original pod: types with the fields that the policy reads or edits. All other fields are kept unchanged.
//!
//! A typed round trip through `k8s-openapi` would drop fields that are newer than the crate, and the host's diff would
//! remove them from the pod. So each type keeps unknown fields as [`RawValue`]s, which are copied to the answer.
//! Elements of lists are JSON, too, and decoded by [`read`] if needed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A field with another type than in Kubernetes. Its value is not shown, because it can be that of a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unexpected value in `{0}`")]
pub struct Malformed(pub &'static str);

/// Decodes a value of the pod; `field` is for the error.
pub fn read<'a, T: Deserialize<'a>>(json: &'a RawValue, field: &'static str) -> Result<T, Malformed> {
    serde_json::from_str(json.get()).map_err(|_| Malformed(field))
}

/// Returns a string of the pod, borrowed unless it has escapes.
pub fn text<'a>(json: &'a RawValue, field: &'static str) -> Result<Cow<'a, str>, Malformed> {
    let quoted = json.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = quoted.filter(|text| !text.contains('\\'));
    plain.map_or_else(|| read(json, field).map(Cow::Owned), |plain| Ok(Cow::Borrowed(plain)))
}

/// Returns a string of the pod that can be absent.
pub(super) fn optional_text<'a>(
    json: Option<&'a RawValue>,
    field: &'static str,
) -> Result<Option<Cow<'a, str>>, Malformed> {
    json.map(|json| text(json, field)).transpose()
}

/// A field that can be absent or `null`, which are the same to Kubernetes. Each is kept unless something is added.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Field<T>(Option<Option<T>>);

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Field<T> {
    /// Returns the value, if any.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()?.as_ref()
    }

    /// Returns the value, if any, to edit it.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.as_mut()
    }
}

impl<T: Default> Field<T> {
    /// Returns the value to edit it; an empty one if absent.
    pub fn get_or_default(&mut self) -> &mut T {
        self.0.get_or_insert_default().get_or_insert_default()
    }
}

impl<T> Field<Vec<T>> {
    /// Returns the elements; none if absent.
    pub fn items(&self) -> &[T] {
        self.get().map_or(&[], Vec::as_slice)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

/// The name of a member.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
pub struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A list whose elements are decoded if needed.
pub type List<'a> = Field<Vec<&'a RawValue>>;

/// Declares types with some known fields, which keep all others. The last one of several members with one name counts,
/// as for the host.
macro_rules! document {
    ($($(#[$meta:meta])* $name:ident { $($key:literal => $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Default)]
        pub struct $name<'a> {
            $(pub(super) $field: $type,)*
            rest: Vec<(Key<'a>, &'a RawValue)>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members<'a>(PhantomData<$name<'a>>);

                impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                        let mut document = $name::default();
                        while let Some(key) = members.next_key::<Key>()? {
                            match &*key.0 {
                                $($key => document.$field = members.next_value()?,)*
                                _ => document.rest.push((key, members.next_value()?)),
                            }
                        }
                        Ok(document)
                    }
                }

                deserializer.deserialize_map(Members(PhantomData))
            }
        }

        impl Serialize for $name<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut members = serializer.serialize_map(None)?;
                $(if self.$field.0.is_some() {
                    members.serialize_entry($key, &self.$field)?;
                })*
                for (key, value) in &self.rest {
                    members.serialize_entry(key, value)?;
                }
                members.end()
            }
        }
    )*};
}

document! {
    /// A pod.
    Pod {
        "metadata" => metadata: Field<Metadata<'a>>,
        "spec" => spec: Field<Spec<'a>>,
    }

    /// A pod's `ObjectMeta`.
    Metadata {
        "labels" => labels: Field<Strings<'a>>,
        "annotations" => annotations: Field<Strings<'a>>,
    }

    /// Labels or annotations.
    Strings {}

    /// A `PodSpec`.
    Spec {
        "containers" => containers: Field<Containers<'a>>,
        "initContainers" => init_containers: Field<Containers<'a>>,
        "volumes" => volumes: List<'a>,
        "imagePullSecrets" => image_pull_secrets: List<'a>,
        "os" => os: Field<&'a RawValue>,
        "serviceAccountName" => service_account_name: Field<&'a RawValue>,
    }

    /// A container, an init container or a native sidecar.
    Container {
        "name" => name: Field<&'a RawValue>,
        "command" => command: Field<&'a RawValue>,
        "args" => args: Field<&'a RawValue>,
        "env" => env: List<'a>,
        "volumeDevices" => volume_devices: List<'a>,
        "volumeMounts" => volume_mounts: List<'a>,
    }
}

/// How many containers are read. With the least that the API server gives each, more do not fit into what etcd takes.
const CONTAINERS: usize = 10_000;

/// The original containers, and those added before and after them.
#[derive(Default)]
pub struct Containers<'a> {
    /// The original ones.
    pub own: Vec<Container<'a>>,
    /// Those added before them, in JSON.
    pub before: &'a [Box<RawValue>],
    /// Those added after them, in JSON.
    pub behind: &'a [Box<RawValue>],
}

impl<'de: 'a, 'a> Deserialize<'de> for Containers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<'a>(PhantomData<Containers<'a>>);

        impl<'de: 'a, 'a> Visitor<'de> for Elements<'a> {
            type Value = Containers<'a>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "a list of up to {CONTAINERS} containers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                let mut own = Vec::new();
                while let Some(container) = elements.next_element()? {
                    if own.len() == CONTAINERS {
                        return Err(Error::invalid_length(own.len(), &self));
                    }
                    own.push(container);
                }
                Ok(Containers { own, before: &[], behind: &[] })
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

impl Serialize for Containers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_seq(None)?;
        self.before.iter().try_for_each(|container| all.serialize_element(container))?;
        self.own.iter().try_for_each(|container| all.serialize_element(container))?;
        self.behind.iter().try_for_each(|container| all.serialize_element(container))?;
        all.end()
    }
}

impl<'a> Field<Containers<'a>> {
    /// Returns the original containers.
    pub fn own(&self) -> &[Container<'a>] {
        self.get().map_or(&[], |containers| &containers.own)
    }

    /// Returns the original containers to edit them.
    pub fn own_mut(&mut self) -> &mut [Container<'a>] {
        self.get_mut().map_or(&mut [], |containers| &mut containers.own)
    }
}

impl<'a> Strings<'a> {
    /// Returns names and values in their original order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.rest.iter().map(|(key, value)| (&*key.0, *value))
    }

    /// Returns the value of a name.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.iter().filter(|(key, _)| *key == name).last().map(|(_, value)| value)
    }

    /// Sets the value at a place, or adds a name with its value.
    pub fn set(&mut self, place: Option<usize>, name: &'a str, value: &'a RawValue) {
        match place.and_then(|place| self.rest.get_mut(place)) {
            Some((_, known)) => *known = value,
            None => self.rest.push((Key(Cow::Borrowed(name)), value)),
        }
    }
}

impl<'a> Container<'a> {
    /// Returns its name, or an empty one.
    pub fn name(&self) -> Result<Cow<'a, str>, Malformed> {
        Ok(optional_text(self.name.get().copied(), "containers.name")?.unwrap_or_default())
    }
}

impl<'a> Pod<'a> {
    /// Returns the value of a label.
    pub(crate) fn label(&self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        let labels = self.metadata.get().and_then(|metadata| metadata.labels.get());
        optional_text(labels.and_then(|labels| labels.get(name)), "metadata.labels")
    }

    /// Returns the value of an annotation.
    pub(super) fn annotation(&self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        let annotations = self.metadata.get().and_then(|metadata| metadata.annotations.get());
        optional_text(annotations.and_then(|annotations| annotations.get(name)), "metadata.annotations")
    }

    /// Returns the annotations whose names start with `prefix`, in their original order.
    ///
    /// # Errors
    /// One of them is not a string.
    pub fn annotations(&self, prefix: &str) -> Result<Vec<(&str, Cow<'a, str>)>, Malformed> {
        let annotations = self.all_annotations().filter(|(name, _)| name.starts_with(prefix));
        annotations.map(|(name, json)| Ok((name, text(json, "metadata.annotations")?))).collect()
    }

    /// Returns all annotations.
    pub(super) fn all_annotations(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let annotations = self.metadata.get().and_then(|metadata| metadata.annotations.get());
        annotations.into_iter().flat_map(Strings::iter)
    }

    /// Returns the service account of the pod; Kubernetes' default is `default`.
    pub(crate) fn service_account(&self) -> Result<Cow<'a, str>, Malformed> {
        let named = self.spec.get().and_then(|spec| spec.service_account_name.get()).copied();
        let named = optional_text(named, "spec.serviceAccountName")?;
        Ok(named.filter(|name| !name.is_empty()).unwrap_or(Cow::Borrowed("default")))
    }

    /// Returns the original containers and init containers.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Container<'a>> {
        let spec = self.spec.get().into_iter();
        spec.flat_map(|spec| spec.containers.own().iter().chain(spec.init_containers.own()))
    }

    /// Whether a container of this name runs this command, or a volume has a token of the pod's service account for
    /// this audience.
    pub(crate) fn has_grant(&self, name: &str, command: &str, audience: &str) -> Result<bool, Malformed> {
        for container in self.containers() {
            let Some(args) = container.args.get().filter(|args| args.get().contains(command)) else { continue };
            if container.name()? == name
                && read::<Vec<String>>(args, "containers.args")
                    .is_ok_and(|args| args.first().is_some_and(|it| it == command))
            {
                return Ok(true);
            }
        }
        let volumes = self.spec.get().map_or(&[][..], |spec| spec.volumes.items());
        let volumes = volumes.iter().filter(|json| json.get().contains(audience));
        let mut volumes = volumes.filter_map(|json| read::<Value>(json, "spec.volumes").ok());
        Ok(volumes.any(|volume| {
            let sources = volume.pointer("/projected/sources").and_then(Value::as_array);
            let audiences = sources.into_iter().flatten().map(|it| it.pointer("/serviceAccountToken/audience"));
            audiences.flatten().any(|it| it == audience)
        }))
    }

    /// Whether it runs on Windows (`spec.os.name`).
    pub(crate) fn is_windows(&self) -> Result<bool, Malformed> {
        let os = self.spec.get().and_then(|spec| spec.os.get());
        let os = os.map(|json| read::<Map<String, Value>>(json, "spec.os")).transpose()?;
        Ok(os.is_some_and(|os| os.get("name").is_some_and(|name| name == "windows")))
    }
}
