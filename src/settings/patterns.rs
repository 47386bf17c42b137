//! What JSON schema can say of values: patterns that the checks of this module and of `names::kubernetes` imply, in the
//! subset of regular expressions that ECMAScript and Go share. Lengths that they leave open are checked at start alone.

/// The start of a variable's name, or nothing.
pub const PREFIX: &str = "^([A-Za-z_.-][A-Za-z0-9_.-]*)?$";
/// An image.
pub const IMAGE: &str = "^[!-~]+$";
/// A DNS label.
pub const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A region of AWS, or nothing.
pub const REGION: &str = "^([a-z0-9]+-([-a-z0-9]*[a-z0-9]))?$";
/// A project of GCP, perhaps with a domain in front, or nothing.
pub const PROJECT: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.:][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$";
/// The URI of a Key Vault, or nothing.
pub const VAULT_URI: &str =
    "^([Hh][Tt][Tt][Pp][Ss]://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*/?)?$";
/// A template of a namespace, of which names stand between literals.
pub const TEMPLATE: &str = "^(\\{?[^{])*(\\{\\{ *(project|domain|organization|org) *\\}\\}((\\{?[^{])+\\{\\{ *(project|domain|organization|org) *\\}\\})*(\\{?[^{])*)?\\{?$";
/// An amount of a resource.
pub const QUANTITY: &str = "^\\+?([0-9]+\\.?[0-9]*|\\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?$";
/// A resource of an init container.
pub const RESOURCE: &str = "^(cpu|memory|ephemeral-storage|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$";
/// The key of an annotation.
pub const ANNOTATION: &str = "^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
