//! AWS Secrets Manager through Amazon's sidecar, which has two variables as its input.

use super::sidecar::{Pull, SidecarManager};
use super::{Reason, invalid, is_plain_path, needed};
use crate::pod::variable;
use crate::secret_request::SecretRequest;
use crate::settings::Settings;

pub(super) fn manager(settings: &Settings) -> SidecarManager<'_> {
    SidecarManager {
        container: settings.aws_secret_manager.container(),
        size_limit: &settings.volume_size_limit,
        volume: "aws-secret-vol",
        container_prefix: "aws-pull-secret-",
        // The sidecar writes below /tmp.
        mount_path: "/tmp",
        pull,
    }
}

fn pull(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let key = needed("key", &request.key)?;
    let file = [group, "/", key].concat().to_ascii_lowercase();
    if !is_plain_path(&file) || !file.is_ascii() {
        let expected =
            "a valid path of ARN and key; it must be ASCII without empty parts, '.', '..' or control characters";
        return Err(invalid("group/key", &[group, "/", key].concat(), expected));
    }
    let arn = [group.trim_end_matches(':'), ":", key.trim_start_matches(':')].concat();
    let relative = ["/", &file].concat();
    Ok(Pull {
        command: Vec::new(),
        variables: vec![variable("SECRET_ARN", &arn), variable("SECRET_FILENAME", &relative)],
        file,
        source: arn,
    })
}
