//! What the settings say of each init container that the policy adds.

use serde_json::{Map, Value, json};

use super::de::settings;

settings! {
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

/// Declares sections of init containers: the defaults of their resources and image, and keys of their own, beside those that
/// all of them have.
macro_rules! init_containers {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident(resources: $resources:expr, read_only_root: $read_only_root:literal) {
            $(#[$image_meta:meta])*
            $image:ident = $default:expr,
            $($own:tt)*
        }
    )*) => {$(
        $crate::settings::de::settings! {
            $(#[$meta])*
            pub struct $name {
                $($own)*
                $(#[$image_meta])*
                #[cfg_attr(feature = "schema", schemars(regex(pattern = $crate::settings::patterns::IMAGE)))]
                pub $image: String = $default.to_owned(),
                /// Resource requests and limits, merged over the defaults amount by amount.
                resources: $crate::settings::Resources = $crate::settings::Resources::of($resources),
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
                    resources: self.resources.over($resources),
                    security_context: self.security_context.clone().unwrap_or_else(restricted),
                    ..$crate::pod::Container::default()
                }
            }
        }
    )*};
}
pub(super) use init_containers;
