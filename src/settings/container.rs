//! What the settings say of each init container that the policy adds.

use serde_json::{Map, Value, json};

use super::de::setting;
use super::error::Error;

setting! {
    /// When an image is pulled.
    pub enum PullPolicy {
        /// Whenever a container starts.
        Always,
        /// If the node does not have it.
        IfNotPresent,
        /// Never; the node must have it.
        Never,
    }
}

/// A security context as Kubernetes reads it: its fields are Kubernetes' to check.
pub type SecurityContext = Map<String, Value>;

/// Returns the security context that passes Pod Security `restricted`, as a user that is no other's: images of clouds and
/// of distributions leave 65532 to processes without a name.
pub(super) fn restricted(read_only_root: bool) -> SecurityContext {
    let context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": read_only_root,
        "runAsGroup": 65532,
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    if let Value::Object(context) = context { context } else { Map::new() }
}

/// Checks that a text can be an image.
pub(super) fn check_image(path: &str, image: &str) -> Result<(), Error> {
    if image.is_empty() || !image.bytes().all(|c| c.is_ascii_graphic()) {
        let problem = format!("invalid image {image:?}; omit the field to use Flyte's default");
        return Err(Error::value(path, problem));
    }
    Ok(())
}

/// Declares a section of an init container: its image, the default of its resources and how they are merged over it, and
/// keys of its own, beside those that all of them have.
macro_rules! init_container {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($key:literal, read_only_root: $read_only_root:literal) {
            $(#[$image_meta:meta])*
            $image:ident = $default:expr,
            $merge:literal = $resources:expr,
            $($own:tt)*
        }
    ) => {
        $crate::settings::de::setting! {
            $(#[$meta])*
            pub struct $name {
                $($own)*
                $(#[$image_meta])*
                #[cfg_attr(feature = "schema", schemars(regex(pattern = $crate::settings::patterns::IMAGE)))]
                pub $image: String = $default.to_owned(),
                /// Resource requests and limits, merged over the defaults amount by amount.
                #[serde(deserialize_with = $merge)]
                pub resources: Resources = $resources,
                /// Not in Flyte: security context, whose fields Kubernetes checks. Replaces the default, which passes Pod
                /// Security `restricted`.
                pub security_context: Option<$crate::settings::container::SecurityContext>,
                /// Not in Flyte: image pull policy. By default, Kubernetes decides by the tag.
                pub image_pull_policy: Option<$crate::settings::PullPolicy>,
            }
        }

        impl $name {
            /// Returns the init container that runs the image.
            pub fn container(&self) -> $crate::pod::Container {
                let restricted = || $crate::settings::container::restricted($read_only_root);
                $crate::pod::Container {
                    image: self.$image.clone(),
                    image_pull_policy: self.image_pull_policy.map(|policy| policy.to_string()),
                    resources: self.resources.requirements(),
                    security_context: self.security_context.clone().unwrap_or_else(restricted),
                    ..$crate::pod::Container::default()
                }
            }

            /// Checks the image and the resources of the section at a path.
            pub(super) fn check_container(&self, path: &str) -> Result<(), $crate::settings::Error> {
                $crate::settings::container::check_image(&[path, ".", $key].concat(), &self.$image)?;
                self.resources.check(&[path, ".resources"].concat())
            }
        }
    };
}
pub(super) use init_container;
