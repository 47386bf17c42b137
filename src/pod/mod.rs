//! A pod: what is read of it ([`View`]), what is to be added to it ([`Plan`]), and the splicing ([`apply`]).
//!
//! The one room that edits JSON. Knows Kubernetes' pods and nothing of secrets or their managers.

mod apply;
mod limits;
mod plan;
mod view;

pub use apply::{apply, Conflict, Edited};
pub use limits::{check, check_pod, check_text, TooLarge};
pub use plan::{
    Amounts, Annotation, Clash, ContainerName, Contested, File, InitContainer, Merged, Mount, OwnVariable, Plan,
    Resources, SecretItem, SecretVolume, Source, Variable, Volume,
};
pub use view::View;

/// Where Flyte's tasks look for secrets in files, and where every manager mounts them.
pub const SECRETS_DIR: &str = "/etc/flyte/secrets";
