//! AWS Secrets Manager through Amazon's sidecar, which is told what to pull by two variables.

use super::sidecar::{Pull, SidecarManager};
use super::{is_plain_path, literal, needed, refused, Reason};
use crate::pod::SECRETS_DIR;
use crate::requests::SecretRequest;
use crate::settings::Sidecar;

pub(super) fn manager(settings: &Sidecar) -> SidecarManager<'_> {
    SidecarManager {
        settings,
        default_image: "docker.io/amazon/aws-secrets-manager-secret-sidecar:v0.1.4",
        volume: "aws-secret-vol",
        container_prefix: "aws-pull-secret-",
        // The sidecar writes below /tmp, wherever that is mounted from.
        mount_path: "/tmp",
        pull,
    }
}

fn pull(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let key = needed("key", &request.key)?;
    let file = [group, "/", key].concat().to_ascii_lowercase();
    if !is_plain_path(&file) || !file.is_ascii() {
        let wanted = "an ARN and a key that make a path: ASCII, no empty part, no '.' or '..', no control characters";
        return Err(refused("group/key", &[group, "/", key].concat(), wanted));
    }
    let arn = [group.trim_end_matches(':'), ":", key.trim_start_matches(':')].concat();
    let relative = ["/", &file].concat();
    Ok(Pull {
        command: Vec::new(),
        variables: vec![literal("SECRET_ARN", arn.as_str()), literal("SECRET_FILENAME", relative.as_str())],
        path: [SECRETS_DIR, &relative].concat(),
        source: arn,
    })
}
