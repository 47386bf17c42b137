//! Azure: the REST protocol of Key Vault with its challenge, and the token endpoint that Workload Identity asks.

use secret_gateway::providers::azure::{Identity, KeyVault};

use super::*;

const VAULT: &str = "flyte.vault.azure.net";
const TOKEN: &str = "POST /directory/oauth2/v2.0/token";
const PACKED: &str = r#"{"type":"STRING","value":"päss\n"}"#;

pub async fn subject() -> Subject {
    let Cloud { double, config, identity, files, .. } = Cloud::start(USUAL).await;
    Subject {
        double,
        open: Box::new(move |port| {
            let config = config::Azure { endpoint: Some(format!("https://localhost:{port}")), ..config.clone() };
            Box::new(KeyVault::new(&config, identity.clone()).unwrap())
        }),
        place: VAULT,
        elsewhere: &["other.vault.azure.net"],
        rows: rows(),
        asked: |name| {
            let (name, version) = name.split_once("::").unwrap_or((name, ""));
            format!("GET /secrets/{name}/{version}")
        },
        // The first request is answered by the challenge, and only it.
        asked_first: vec!["GET /secrets/stalled/".to_owned(), TOKEN.to_owned()],
        alphabet: (127, "-"),
        bad_names: &["..", "a/b", "a_b"],
        canaries: &["canary", "not-text", "not-json", "quoting"],
        encoded: CANARY.to_owned(),
        _files: files,
    }
}

/// Entra and a vault in one, over TLS.
pub struct Cloud {
    pub double: Double,
    pub config: config::Azure,
    pub identity: Identity,
    /// Those of the configuration and of the identity.
    pub files: Vec<NamedTempFile>,
    /// How many tokens were given.
    given: Arc<AtomicU32>,
}

/// What a cloud does that is not as usual.
pub struct Ways {
    /// What the vault asks for, beside an authority.
    challenge: &'static str,
    expires_in: u32,
    entra: Option<fn() -> Answer>,
    /// How long Entra takes.
    late: Duration,
}

const VAULTS: &str = r#"resource="https://vault.azure.net""#;
pub const USUAL: Ways = Ways { challenge: VAULTS, expires_in: 3600, entra: None, late: Duration::ZERO };

impl Cloud {
    pub async fn start(ways: Ways) -> Self {
        let authority = Authority::new("azure");
        let given = Arc::new(AtomicU32::new(0));
        let giving = Arc::clone(&given);
        let double = Double::https(&authority.server("localhost"), move |asked| {
            if asked.uri().path() == "/directory/oauth2/v2.0/token" {
                let answer = ways.entra.map_or_else(|| entra(asked, &giving, ways.expires_in), |entra| entra());
                return Answer::Late(ways.late, Box::new(answer));
            }
            vault(asked, &format!("token-{}", giving.load(Ordering::SeqCst)), ways.challenge)
        })
        .await;
        let (authorities, federated) = (file(&authority.certificate), file("federated"));
        let url = Some(format!("https://localhost:{}", double.port));
        let config = config::Azure {
            vaults: vec![VAULT.to_owned()],
            endpoint: url.clone(),
            ca_file: Some(authorities.path().to_owned()),
            authority: url,
        };
        let (tenant, client) = ("directory".to_owned(), "gateway".to_owned());
        let identity = Identity { tenant, client, token_file: federated.path().to_owned() };
        Self { double, config, identity, files: vec![authorities, federated], given }
    }

    fn provider(&self) -> KeyVault {
        KeyVault::new(&self.config, self.identity.clone()).unwrap()
    }
}

/// What Entra says of an identity that it does not know.
fn no_match() -> Answer {
    json(401, object!({"error": "invalid_client", "error_description": "AADSTS700213: no match"}))
}

/// Gives a token for the service account's own, to the vaults only.
fn entra(asked: &Asked, given: &AtomicU32, expires_in: u32) -> Answer {
    let form = String::from_utf8_lossy(asked.body()).into_owned();
    let expected = [
        "client_assertion=federated",
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        "client_id=gateway",
        "grant_type=client_credentials",
        "scope=https%3A%2F%2Fvault.azure.net%2F.default",
    ];
    let mut fields: Vec<_> = form.split('&').collect();
    fields.sort_unstable();
    if fields != expected {
        return no_match();
    }
    let token = format!("token-{}", given.fetch_add(1, Ordering::SeqCst) + 1);
    json(200, object!({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"}))
}

/// What a vault checks before it looks for the secret.
fn vault(asked: &Asked, token: &str, challenge: &str) -> Answer {
    if header(asked, "host") != VAULT {
        return html(404);
    }
    if header(asked, "authorization") != format!("Bearer {token}") {
        let authority = r#"authorization="https://login.microsoftonline.com/directory""#;
        let challenge = if challenge.is_empty() { "Bearer" } else { &format!("Bearer {authority}, {challenge}") };
        return json_with(401, "www-authenticate", challenge, error("Unauthorized", Value::Null));
    }
    if asked.uri().query() != Some("api-version=2025-07-01") {
        return refusal(400, "BadParameter");
    }
    match asked.uri().path().strip_prefix("/secrets/").and_then(|path| path.split_once('/')) {
        Some((name, "")) if asked.method() == "GET" => answer_of(rows(), name, secret(CANARY)),
        Some((name, version)) if asked.method() == "GET" => answer_of(rows(), &format!("{name}::{version}"), html(404)),
        _ => html(404),
    }
}

fn secret(value: &str) -> Answer {
    json(200, object!({"value": value, "id": format!("https://{VAULT}/secrets/x/1"), "attributes": {"enabled": true}}))
}

fn error(code: &str, inner: Value) -> Value {
    object!({"error": {"code": code, "message": "in words", "innererror": inner}})
}

fn refusal(status: u16, code: &str) -> Answer {
    json(status, error(code, Value::Null))
}

/// The double's secrets, and what becomes of reading them.
fn rows() -> Rows {
    let role = "grant the gateway's identity the role \"Key Vault Secrets User\" on the vault, or permission get in its \
                access policies";
    let firewall = "the vault's network rules deny access; allow the gateway";
    let disabled = "secret is disabled; enable it, add a version, or delete it";
    let not_a_response = || garbage("not a response of Key Vault");
    let undocumented = |status: u16| garbage(&format!("undocumented error status {status} of Key Vault"));
    let denied = |inner: &str| json(403, error("Forbidden", object!({"code": inner})));
    let throttled = |value| json_with(429, "retry-after", value, error("Throttled", Value::Null));
    let until = |seconds| Err(Failure::Throttled(Some(Duration::from_secs(seconds))));
    // Errors that are named in what becomes of them.
    let named = |name, status: u16, code: &str, outcome: fn(&str) -> Outcome| {
        (name, refusal(status, code), outcome(&format!("{code} (status {status})")))
    };
    vec![
        ("packed", secret(PACKED), text(PACKED)),
        ("packed::0123456789abcdef0123456789abcdef", secret("of a version"), text("of a version")),
        ("empty", secret(""), text("")),
        ("no-value", json(200, object!({"id": "x"})), garbage("missing value")),
        ("not-text", json(200, object!({"value": [CANARY]})), not_a_response()),
        ("not-json", json(200, format!("{{\"value\": \"{CANARY}")), not_a_response()),
        ("missing", refusal(404, "SecretNotFound"), Err(Failure::NotFound)),
        ("not-the-service", html(404), undocumented(404)),
        ("moved", json_with(302, "location", "https://localhost/elsewhere", ""), undocumented(302)),
        ("quoting", refusal(418, &format!("its value is {CANARY}")), undocumented(418)),
        ("denied", denied("ForbiddenByRbac"), forbidden(role)),
        ("denied-by-policy", denied("AccessDenied"), forbidden(role)),
        ("denied-by-proxy", html(403), forbidden(role)),
        ("walled", denied("ForbiddenByFirewall"), forbidden(firewall)),
        ("off", denied("SecretDisabled"), forbidden(disabled)),
        ("throttled", refusal(429, "Throttled"), Err(Failure::Throttled(None))),
        ("throttled-for", throttled("7"), until(7)),
        ("throttled-for-ever", throttled("99999999999999999999"), until(60)),
        named("refused", 400, "BadParameter", bad_name),
        named("expired", 401, "Unauthorized", credentials_refused),
        named("recovered", 409, "Conflict", |text| Err(Failure::Conflict(text.to_owned()))),
        named("broken", 500, "InternalServerError", unreachable),
        ("bad-gateway", html(502), unreachable("status 502")),
    ]
}

#[tokio::test]
async fn challenge_for_another_resource_gets_no_token() {
    let foreign = "challenge for another resource than the vault; no token was sent";
    let table = [
        (r#"resource="https://vault.azure.example""#, foreign),
        (r#"resource="https://evilvault.azure.net""#, foreign),
        (r#"scope="https://graph.microsoft.com/.default""#, foreign),
        ("", "not a response of Key Vault"),
    ];
    for (challenge, expected) in table {
        let cloud = Cloud::start(Ways { challenge, ..USUAL }).await;
        assert_eq!(read(&cloud.provider(), VAULT, "packed").await, garbage(expected), "{challenge}");
        assert_eq!(cloud.double.asked(), ["GET /secrets/packed/"], "{challenge}");
    }
}

#[tokio::test]
async fn tokens_that_expire_are_renewed() {
    let cloud = Cloud::start(Ways { expires_in: 60, ..USUAL }).await;
    let provider = cloud.provider();
    assert_eq!(read(&provider, VAULT, "packed").await, text(PACKED));
    assert_eq!(read(&provider, VAULT, "packed").await, text(PACKED));
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
    let table: [(fn() -> Answer, Outcome); 3] = [
        (no_match, no_credentials("AADSTS700213: no match")),
        (|| Answer::Stall, Err(Failure::Slow)),
        (|| Answer::Cut, no_credentials("connection closed before the response was complete")),
    ];
    for (entra, expected) in table {
        let cloud = Cloud::start(Ways { entra: Some(entra), ..USUAL }).await;
        assert_eq!(read(&cloud.provider(), VAULT, "packed").await, expected);
    }
}

#[tokio::test]
async fn untrusted_vault_certificates_are_rejected() {
    let cloud = Cloud::start(USUAL).await;
    let other = file(&Authority::new("azure").certificate);
    let config = config::Azure { ca_file: Some(other.path().to_owned()), ..cloud.config };
    let provider = KeyVault::new(&config, cloud.identity).unwrap();
    assert_eq!(read(&provider, VAULT, "packed").await, unreachable("invalid peer certificate: BadSignature"));
    assert_eq!(cloud.double.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn invalid_configuration_is_rejected_at_startup() {
    let Cloud { config, identity, files: _files, .. } = Cloud::start(USUAL).await;
    let nothing = file("no certificate");
    let path = nothing.path();
    let http = || Some("http://localhost".to_owned());
    let no_token = Identity { token_file: "/nonexistent/token".into(), ..identity.clone() };
    let not_pem = format!("invalid `providers.azure.caFile` {}: expected certificates in PEM", path.display());
    let not_https = "cannot set up Azure: authority host doesn't use HTTPS scheme: http://localhost";
    let must_be_https = "cannot set up Azure: endpoint http://localhost/ must use https";
    let table = [
        (config::Azure { ca_file: Some(path.to_owned()), ..config.clone() }, &identity, &*not_pem),
        (config::Azure { authority: http(), ..config.clone() }, &identity, not_https),
        (config::Azure { endpoint: http(), ..config.clone() }, &identity, must_be_https),
        (config, &no_token, "cannot set up Azure: No such file or directory (os error 2)"),
    ];
    for (config, identity, expected) in table {
        let refused = KeyVault::new(&config, identity.clone()).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some(expected));
    }
}
