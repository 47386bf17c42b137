//! Azure: the REST protocol of Key Vault with its challenge, and the token endpoint that Workload Identity asks.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use secret_gateway::config;
use secret_gateway::provider::Failure;
use secret_gateway::providers::azure::{Identity, KeyVault};
use serde_json::{Value, json as object};
use tempfile::NamedTempFile;
use tracing_subscriber::filter::LevelFilter;

use crate::double::{Answer, Asked, Authority, Double, html, json, json_with, nobody};
use crate::{
    CANARY, Shown, assert_nothing_is_shown, assert_rejected_without_a_call, bad_name, broken_connections,
    credentials_refused, forbidden, garbage, no_credentials, nobody_listens, read, text, unreachable,
};

pub const VAULT: &str = "flyte.vault.azure.net";
const TOKEN: &str = "POST /directory/oauth2/v2.0/token";
const RESOURCE: &str =
    r#"Bearer authorization="https://login.microsoftonline.com/directory", resource="https://vault.azure.net""#;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Entra and a vault in one, over TLS.
pub struct Cloud {
    double: Double,
    authorities: NamedTempFile,
    pub federated: NamedTempFile,
    /// How many tokens were given.
    given: Arc<AtomicU32>,
}

/// What a cloud does that is not as usual.
#[derive(Clone, Copy)]
pub struct Ways {
    challenge: &'static str,
    expires_in: u32,
    entra: fn() -> Option<Answer>,
    /// How long Entra takes.
    late: Duration,
}

pub const USUAL: Ways = Ways { challenge: RESOURCE, expires_in: 3600, entra: || None, late: Duration::ZERO };

impl Cloud {
    pub async fn start(ways: Ways) -> Self {
        let authority = Authority::new();
        let given = Arc::new(AtomicU32::new(0));
        let giving = Arc::clone(&given);
        let double = Double::https(&authority, move |asked| {
            if asked.path == "/directory/oauth2/v2.0/token" {
                let answer = (ways.entra)().unwrap_or_else(|| entra(asked, &giving, ways.expires_in));
                return Answer::Late(ways.late, Box::new(answer));
            }
            vault(asked, &format!("token-{}", giving.load(Ordering::SeqCst)), ways.challenge)
        })
        .await;
        Self { double, authorities: file(&authority.pem), federated: file("federated"), given }
    }

    pub fn config(&self) -> config::Azure {
        let url = format!("https://localhost:{}", self.double.address.port());
        config::Azure {
            vaults: vec![VAULT.to_owned()],
            endpoint: Some(url.clone()),
            ca_file: Some(self.authorities.path().to_owned()),
            authority: Some(url),
        }
    }

    fn identity(&self) -> Identity {
        Identity {
            tenant: "directory".to_owned(),
            client: "gateway".to_owned(),
            token_file: self.federated.path().to_owned(),
        }
    }

    fn provider(&self) -> KeyVault {
        KeyVault::new(&self.config(), self.identity()).unwrap()
    }
}

/// Gives a token for the service account's own, to the vaults only.
fn entra(asked: &Asked, given: &AtomicU32, expires_in: u32) -> Answer {
    let form = String::from_utf8_lossy(&asked.body).into_owned();
    let wanted = [
        "client_assertion=federated",
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        "client_id=gateway",
        "grant_type=client_credentials",
        "scope=https%3A%2F%2Fvault.azure.net%2F.default",
    ];
    let mut fields: Vec<_> = form.split('&').collect();
    fields.sort_unstable();
    if fields != wanted {
        return json(401, object!({"error": "invalid_client", "error_description": "AADSTS700213: no match"}));
    }
    let token = format!("token-{}", given.fetch_add(1, Ordering::SeqCst) + 1);
    json(200, object!({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"}))
}

/// What a vault checks before it looks for the secret.
fn vault(asked: &Asked, token: &str, challenge: &str) -> Answer {
    if asked.header("host") != VAULT {
        return html(404);
    }
    if asked.header("authorization") != format!("Bearer {token}") {
        let refusal = error("Unauthorized", Value::Null);
        return json_with(401, "www-authenticate", challenge, refusal);
    }
    if asked.query != "api-version=2025-07-01" {
        return json(400, error("BadParameter", Value::Null));
    }
    match asked.path.strip_prefix("/secrets/").map(|name| name.trim_end_matches('/')) {
        Some("packed/0123456789abcdef0123456789abcdef") => secret("of a version"),
        Some(name) if asked.method == "GET" && !name.contains('/') => failures()
            .into_iter()
            .find(|(known, ..)| *known == name)
            .map_or_else(|| secret(CANARY), |(_, answer, _)| answer),
        _ => html(404),
    }
}

fn secret(value: &str) -> Answer {
    json(200, object!({"value": value, "id": format!("https://{VAULT}/secrets/x/1"), "attributes": {"enabled": true}}))
}

fn error(code: &str, inner: Value) -> Value {
    object!({"error": {"code": code, "message": "in words", "innererror": inner}})
}

/// The double's secrets, and what becomes of reading them.
fn failures() -> Vec<(&'static str, Answer, Result<Shown, Failure>)> {
    let role = "grant the gateway's identity the role \"Key Vault Secrets User\" on the vault, or permission get in its \
                access policies";
    let denied = |inner: &str| json(403, error("Forbidden", object!({"code": inner})));
    let packed = r#"{"type":"STRING","value":"päss\n"}"#;
    let mut table = vec![
        ("packed", secret(packed), text(packed)),
        ("empty", secret(""), text("")),
        ("no-value", json(200, object!({"id": "x"})), garbage("missing value")),
        ("not-text", json(200, object!({"value": [CANARY]})), garbage("not a response of Key Vault")),
        ("not-json", json(200, format!("{{\"value\": \"{CANARY}")), garbage("not a response of Key Vault")),
        ("missing", json(404, error("SecretNotFound", Value::Null)), Err(Failure::NotFound)),
        ("not-the-service", html(404), garbage("undocumented error status 404 of Key Vault")),
        (
            "moved",
            json_with(302, "location", "https://localhost/elsewhere", ""),
            garbage("undocumented error status 302 of Key Vault"),
        ),
        (
            "quoting",
            json(418, error(&format!("its value is {CANARY}"), Value::Null)),
            garbage("undocumented error status 418 of Key Vault"),
        ),
        ("denied", denied("ForbiddenByRbac"), forbidden(role)),
        ("denied-by-policy", denied("AccessDenied"), forbidden(role)),
        ("denied-by-proxy", html(403), forbidden(role)),
        (
            "walled",
            denied("ForbiddenByFirewall"),
            forbidden("the vault's network rules deny access; allow the gateway"),
        ),
        ("off", denied("SecretDisabled"), forbidden("secret is disabled; enable it, add a version, or delete it")),
        ("throttled", json(429, error("Throttled", Value::Null)), Err(Failure::Throttled(None))),
        (
            "throttled-for",
            json_with(429, "retry-after", "7", error("Throttled", Value::Null)),
            Err(Failure::Throttled(Some(Duration::from_secs(7)))),
        ),
        ("refused", json(400, error("BadParameter", Value::Null)), bad_name("BadParameter (status 400)")),
        ("expired", json(401, error("Unauthorized", Value::Null)), credentials_refused("Unauthorized (status 401)")),
        (
            "recovered",
            json(409, error("Conflict", Value::Null)),
            Err(Failure::Conflict("Conflict (status 409)".to_owned())),
        ),
        (
            "throttled-for-ever",
            json_with(429, "retry-after", "99999999999999999999", error("Throttled", Value::Null)),
            Err(Failure::Throttled(Some(Duration::from_secs(60)))),
        ),
        (
            "broken",
            json(500, error("InternalServerError", Value::Null)),
            unreachable("InternalServerError (status 500)"),
        ),
        ("bad-gateway", html(502), unreachable("status 502")),
    ];
    table.extend(broken_connections());
    table
}

#[tokio::test]
async fn errors_map_to_failures() {
    let cloud = Cloud::start(USUAL).await;
    let provider = cloud.provider();
    // The first request is answered by the challenge, and only it.
    let mut asked = vec!["GET /secrets/packed/".to_owned(), TOKEN.to_owned()];
    for (name, _, wanted) in failures() {
        assert_eq!(read(&provider, VAULT, name).await, wanted, "{name}");
        asked.push(format!("GET /secrets/{name}/"));
    }
    let version = "0123456789abcdef0123456789abcdef";
    assert_eq!(read(&provider, VAULT, &format!("packed::{version}")).await, text("of a version"));
    asked.push(format!("GET /secrets/packed/{version}"));
    assert_eq!(cloud.double.asked(), asked, "the SDK must not retry");
}

#[tokio::test]
async fn unconfigured_places_and_invalid_names_are_rejected_without_a_call() {
    let cloud = Cloud::start(USUAL).await;
    let provider = cloud.provider();
    let alphabet = "expected 1 to 127 letters, digits and -";
    let names = ["..", "a/b", "a_b", &"a".repeat(128)];
    let places = (VAULT, "other.vault.azure.net");
    assert_rejected_without_a_call(&provider, &cloud.double, places, (&names, alphabet)).await;
}

#[tokio::test]
async fn challenge_for_another_resource_gets_no_token() {
    let foreign = [
        r#"Bearer authorization="https://login.microsoftonline.com/directory", resource="https://vault.azure.example""#,
        r#"Bearer authorization="https://login.microsoftonline.com/directory", resource="https://evilvault.azure.net""#,
        r#"Bearer authorization="https://login.microsoftonline.com/directory", scope="https://graph.microsoft.com/.default""#,
    ];
    for challenge in foreign {
        let cloud = Cloud::start(Ways { challenge, ..USUAL }).await;
        let refused = read(&cloud.provider(), VAULT, "packed").await;
        let wanted = "challenge for another resource than the vault; no token was sent";
        assert_eq!(refused, garbage(wanted), "{challenge}");
        assert_eq!(cloud.double.asked(), ["GET /secrets/packed/"], "{challenge}");
    }
    let cloud = Cloud::start(Ways { challenge: "Bearer", ..USUAL }).await;
    assert_eq!(read(&cloud.provider(), VAULT, "packed").await, garbage("not a response of Key Vault"));
    assert_eq!(cloud.double.asked(), ["GET /secrets/packed/"]);
}

#[tokio::test]
async fn tokens_that_expire_are_renewed() {
    let cloud = Cloud::start(Ways { expires_in: 60, ..USUAL }).await;
    let provider = cloud.provider();
    let packed = failures().remove(0).2;
    assert_eq!(read(&provider, VAULT, "packed").await, packed);
    assert_eq!(read(&provider, VAULT, "packed").await, packed);
    let get = "GET /secrets/packed/";
    assert_eq!(cloud.double.asked(), [get, TOKEN, get, TOKEN, get]);
}

/// The policy waits for two seconds; Entra may take longer, once.
#[tokio::test]
async fn late_tokens_serve_the_next_read() {
    let cloud = Cloud::start(Ways { late: Duration::from_millis(600), ..USUAL }).await;
    let provider = Arc::new(cloud.provider());
    let budget = Duration::from_millis(300);
    // As the reader asks: in a task that goes on when nobody waits any more.
    let asked = Arc::clone(&provider);
    let asking = tokio::spawn(async move { read(&*asked, VAULT, "empty").await });
    let first = tokio::time::timeout(budget, asking).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let second = tokio::time::timeout(budget, read(&*provider, VAULT, "empty")).await;
    assert_eq!((first.is_err(), second), (true, Ok(text(""))));
    assert_eq!(cloud.given.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn rejected_tokens_are_reported() {
    let cloud = Cloud::start(USUAL).await;
    let provider = cloud.provider();
    assert_eq!(read(&provider, VAULT, "empty").await, text(""));
    // It is revoked: another one is the valid one now.
    cloud.given.fetch_add(1, Ordering::SeqCst);
    assert_eq!(read(&provider, VAULT, "empty").await, credentials_refused("Unauthorized (status 401)"));
}

#[tokio::test]
async fn rejected_identities_are_reported() {
    let refusal =
        || Some(json(401, object!({"error": "invalid_client", "error_description": "AADSTS700213: no match"})));
    let cloud = Cloud::start(Ways { entra: refusal, ..USUAL }).await;
    assert_eq!(read(&cloud.provider(), VAULT, "packed").await, no_credentials("AADSTS700213: no match"));
    let cloud = Cloud::start(Ways { entra: || Some(Answer::Stall), ..USUAL }).await;
    assert_eq!(read(&cloud.provider(), VAULT, "packed").await, Err(Failure::Slow));
    let cloud = Cloud::start(Ways { entra: || Some(Answer::Cut), ..USUAL }).await;
    let cut = no_credentials("connection closed before the response was complete");
    assert_eq!(read(&cloud.provider(), VAULT, "packed").await, cut);
}

#[tokio::test]
async fn untrusted_vault_certificates_are_rejected() {
    let cloud = Cloud::start(USUAL).await;
    let other = file(&Authority::new().pem);
    let config = config::Azure { ca_file: Some(other.path().to_owned()), ..cloud.config() };
    let provider = KeyVault::new(&config, cloud.identity()).unwrap();
    assert_eq!(read(&provider, VAULT, "packed").await, unreachable("invalid peer certificate: BadSignature"));
    assert_eq!(cloud.double.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn refused_connections_are_unreachable() {
    let address = nobody().await;
    let cloud = Cloud::start(USUAL).await;
    let config = config::Azure { endpoint: Some(format!("https://{}", address)), ..cloud.config() };
    let provider = KeyVault::new(&config, cloud.identity()).unwrap();
    assert_eq!(read(&provider, VAULT, "packed").await, nobody_listens(address));
}

#[tokio::test]
async fn invalid_configuration_is_rejected_at_startup() {
    let cloud = Cloud::start(USUAL).await;
    let refused = |config, identity| KeyVault::new(&config, identity).err().map(|error| error.to_string());
    let nothing = file("no certificate");
    let path = nothing.path().to_owned();
    let config = config::Azure { ca_file: Some(path.clone()), ..cloud.config() };
    let wanted = format!("invalid `providers.azure.caFile` {}: expected certificates in PEM", path.display());
    assert_eq!(refused(config, cloud.identity()), Some(wanted));
    let config = config::Azure { authority: Some("http://localhost".to_owned()), ..cloud.config() };
    let wanted = "cannot set up Azure: authority host doesn't use HTTPS scheme: http://localhost".to_owned();
    assert_eq!(refused(config, cloud.identity()), Some(wanted));
    let config = config::Azure { endpoint: Some("http://localhost".to_owned()), ..cloud.config() };
    let wanted = "cannot set up Azure: endpoint http://localhost/ must use https".to_owned();
    assert_eq!(refused(config, cloud.identity()), Some(wanted));
    let identity = Identity { token_file: "/nonexistent/token".into(), ..cloud.identity() };
    let wanted = "cannot set up Azure: No such file or directory (os error 2)".to_owned();
    assert_eq!(refused(cloud.config(), identity), Some(wanted));
}

#[tokio::test]
async fn debug_output_holds_no_value() {
    let cloud = Cloud::start(USUAL).await;
    let names = ["canary", "not-text", "not-json", "quoting"];
    assert_nothing_is_shown(
        "azure::debug_output_holds_no_value",
        LevelFilter::TRACE,
        &cloud.provider(),
        VAULT,
        &names,
        CANARY,
    )
    .await;
}
