//! Images of the init containers that the policy adds: Flyte's defaults, under Flyte's tags. Renovate appends and follows digests.

/// Amazon's sidecar, for the manager AWS.
pub const AWS: &str = "docker.io/amazon/aws-secrets-manager-secret-sidecar:v0.1.4";
/// `gcloud`, for the manager GCP.
pub const GCP: &str = "gcr.io/google.com/cloudsdktool/cloud-sdk:alpine";
/// `az`, for the manager Azure.
pub const AZURE: &str = "mcr.microsoft.com/azure-cli:cbl-mariner2.0";
/// `sh` and `base64`, for the files of Embedded.
pub const BUSYBOX: &str = "public.ecr.aws/docker/library/busybox:latest";
/// The puller, for `delivery: Pull`.
pub const PULL: &str = concat!("ghcr.io/flyte-secrets-policy/pull:v", env!("CARGO_PKG_VERSION"));
