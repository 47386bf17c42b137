//! Deserialization that serde's derive does not have: case-insensitive names, as in Flyte, and sections from maps only.

use std::fmt;

use serde::de::{Deserializer, Error, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Declares sections of the settings: each field is a key, with its default unless that is its type's own. And enums, whose
/// variants are the names that a key takes.
macro_rules! settings {
    () => {};
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* $visibility:vis $field:ident: $type:ty $(= $default:expr)?,)*
        }
        $($more:tt)*
    ) => {
        #[derive(Clone, Debug, serde::Deserialize, PartialEq, serde::Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(remote = "Self", default, deny_unknown_fields, rename_all = "camelCase")]
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* $visibility $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::settings::de::settings!(@default $($default)?),)* }
            }
        }

        $crate::settings::de::settings!(@serde $name);
        $crate::settings::de::settings!($($more)*);
    };
    ($(#[$meta:meta])* pub enum $name:ident { $($variants:tt)* } $($more:tt)*) => {
        #[derive(Clone, Copy, Debug, serde::Deserialize, Eq, PartialEq, serde::Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(remote = "Self")]
        $(#[$meta])*
        pub enum $name {
            $($variants)*
        }

        impl std::fmt::Display for $name {
            /// Prints the name in settings.
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                serde::Serialize::serialize(self, f)
            }
        }

        $crate::settings::de::settings!(@serde $name);
        $crate::settings::de::settings!($($more)*);
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@serde $name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::deserialize($crate::settings::de::Setting(deserializer))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    };
}
pub(crate) use settings;

/// Finds the variant whose name a text is, in any case; a name that is a number may be written as one. Reads all else, which
/// is structs, from maps, not from lists of their fields.
pub(crate) struct Setting<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Setting<D> {
    type Error = D::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let name = self.0.deserialize_any(Name)?;
        match variants.iter().find(|variant| variant.eq_ignore_ascii_case(&name)) {
            Some(variant) => visitor.visit_enum((*variant).into_deserializer()),
            None => Err(Error::unknown_variant(&name, variants)),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// A string, or the text of a number.
pub(super) struct Name;

impl Visitor<'_> for Name {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}
