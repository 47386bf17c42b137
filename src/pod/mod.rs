//! A pod: as it came in ([`Pod`]), what is to be added to it ([`Plan`]), and the edit ([`apply`]).
//!
//! The only module that edits JSON. Knows Kubernetes' pods and nothing of secrets or their managers.

mod apply;
mod document;
mod init_containers;
mod limits;
mod placement;
mod plan;

pub use apply::{Conflict, MutatedPod, apply};
pub use document::{Malformed, Pod};
pub use limits::{Limits, OBJECT_LIMIT, PATH_LIMIT, TooLarge, check_text};
pub use placement::{CONTAINERS, Placement};
pub use plan::{
    Annotation, ConflictCause, Container, ContainerName, File, InitContainer, Merged, Plan, RequestConflict,
    file_variable, memory_volume, mount, projected_volume, secret_variable, secret_volume, token_volume, variable,
};

/// Where Flyte's tasks look for secrets in files, and where every manager mounts them.
pub const SECRETS_DIR: &str = "/etc/flyte/secrets";
