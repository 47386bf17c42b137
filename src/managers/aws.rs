//! AWS Secrets Manager through Amazon's sidecar, which has two variables as its input.

use super::sidecar::{Cloud, Pull};
use super::{Reason, ensure, is_plain_path, needed};
use crate::pod::variable;
use crate::secret_request::SecretRequest;

/// The sidecar writes below /tmp.
pub(super) const CLOUD: Cloud =
    Cloud { volume: "aws-secret-vol", container_prefix: "aws-pull-secret-", mount_path: "/tmp", pull };

fn pull(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let key = needed("key", &request.key)?;
    let path = [group, "/", key].concat();
    let expected = "a valid path of ARN and key; it must be ASCII without empty parts, '.', '..' or control characters";
    ensure(is_plain_path(&path) && path.is_ascii(), "group/key", &path, expected)?;
    let file = path.to_ascii_lowercase();
    let source = [group.trim_end_matches(':'), ":", key.trim_start_matches(':')].concat();
    let variables = vec![variable("SECRET_ARN", &source), variable("SECRET_FILENAME", &["/", &file].concat())];
    Ok(Pull { variables, file, source, ..Pull::default() })
}
