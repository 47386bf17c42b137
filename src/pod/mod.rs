//! The original pod ([`Pod`]), the additions ([`Plan`]), and the edit ([`apply()`]).
//!
//! The only module that edits JSON. Knows pods of Kubernetes, and neither secrets nor managers.

mod apply;
mod document;
mod init_containers;
mod limits;
mod placement;
mod plan;

pub use apply::{Conflict, MutatedPod, apply};
pub use document::{Malformed, Pod};
pub(crate) use limits::check_text;
pub use limits::{Limits, OBJECT_LIMIT, PATH_LIMIT, TooLarge};
pub use placement::{CONTAINERS, Placement};
pub use plan::{
    Annotation, ConflictCause, Container, ContainerName, File, InitContainer, Merged, Plan, RequestConflict,
    file_variable, memory_volume, mount, projected_volume, secret_variable, secret_volume, token_volume, variable,
};

/// Folder in which Flyte's tasks find files, and in which every manager mounts them.
pub const SECRETS_DIR: &str = "/etc/flyte/secrets";
