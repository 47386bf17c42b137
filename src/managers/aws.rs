//! AWS Secrets Manager through Amazon's sidecar, which is told what to pull by two variables.

use super::sidecar::{Pull, SidecarManager};
use super::{is_plain_path, needed, refused, Reason};
use crate::pod::{OwnVariable, SECRETS_DIR};
use crate::requests::SecretRequest;
use crate::settings::Sidecar;
use crate::texts::Texts;

pub(super) fn manager<'a>(settings: &'a Sidecar<'a>, texts: &'a Texts) -> SidecarManager<'a> {
    SidecarManager {
        settings,
        texts,
        default_image: "docker.io/amazon/aws-secrets-manager-secret-sidecar:v0.1.4",
        volume: "aws-secret-vol",
        container_prefix: "aws-pull-secret-",
        // The sidecar writes below /tmp, wherever that is mounted from.
        mount_path: "/tmp",
        pull,
    }
}

fn pull<'a>(request: &SecretRequest<'a>, texts: &'a Texts) -> Result<Pull<'a>, Reason> {
    let group = needed("group", request.group)?;
    let key = needed("key", request.key)?;
    let file = texts.lower(&[group, "/", key]);
    if !is_plain_path(file) || !file.is_ascii() {
        let wanted = "an ARN and a key that make a path: ASCII, no empty part, no '.' or '..', no control characters";
        return Err(refused("group/key", &[group, "/", key].concat(), wanted));
    }
    let arn = texts.concat(&[group.trim_end_matches(':'), ":", key.trim_start_matches(':')]);
    let relative = texts.concat(&["/", file]);
    let variable = |name, value| OwnVariable { name, parts: vec![value] };
    Ok(Pull {
        command: Vec::new(),
        variables: vec![variable("SECRET_ARN", arn), variable("SECRET_FILENAME", relative)],
        path: texts.concat(&[SECRETS_DIR, relative]),
        source: arn,
    })
}
