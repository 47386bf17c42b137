//! Clouds on loopback: moto for AWS, and test doubles of GCP's Secret Manager and Azure's Key Vault, with the part of
//! their protocols that reads need. Stores have the format of the golden cases.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::{Path as Segments, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::process::{Process, free_port};
use crate::serve;
use crate::tools::program;

/// Region of the golden cases' secrets in AWS.
pub const REGION: &str = "us-west-2";
const TOKEN: &str = "an-access-token";
const CHALLENGE: &str =
    r#"Bearer authorization="https://login.microsoftonline.com/directory", resource="https://vault.azure.net""#;

/// The three clouds.
pub struct Clouds {
    pub moto: Process,
    aws: String,
    gcp: String,
    azure: String,
    /// Folder of `azure.crt` and `federated-token`.
    folder: PathBuf,
    contents: Contents,
    client: Client,
}

/// Contents of GCP and Azure.
type Contents = Arc<Mutex<Value>>;

impl Clouds {
    pub async fn start(folder: &Path) -> Result<Self> {
        let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
        let port = free_port()?;
        let aws = format!("http://127.0.0.1:{port}");
        let mut moto = Process::start(folder, "moto", &program("E2E_MOTO", "bin/moto_server")?, |command| {
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        })?;
        let url = format!("{aws}/moto-api/");
        moto.until(async || client.get(&url).send().await.is_ok()).await?;

        let contents = Contents::default();
        let (gcp, _) = serve::http(Router::new().fallback(get(google)).with_state(Arc::clone(&contents))).await?;
        let authority = Authority::new("azure");
        std::fs::write(folder.join("azure.crt"), &authority.certificate)?;
        std::fs::write(folder.join("federated-token"), "federated")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let azure = format!("https://localhost:{}", listener.local_addr()?.port());
        let router = Router::new()
            .route("/directory/oauth2/v2.0/token", post(entra))
            .route("/secrets/{name}", get(vault))
            .route("/secrets/{name}/", get(vault))
            .with_state(Arc::clone(&contents));
        serve::https(listener, &authority.server("localhost"), router).await?;
        Ok(Self { moto, aws, gcp, azure, folder: folder.to_owned(), contents, client })
    }

    /// Returns `providers` of the gateway's configuration.
    pub fn providers(&self) -> Value {
        json!({
            "aws": { "regions": [REGION], "endpoint": self.aws },
            "gcp": { "projects": ["acme-prod"], "endpoint": self.gcp, "anonymous": true },
            "azure": {
                "vaults": ["acme-kv.vault.azure.net"], "endpoint": self.azure, "authority": self.azure,
                "caFile": self.folder.join("azure.crt"),
            },
        })
    }

    /// Returns environment variables with the gateway's identity.
    pub fn identity(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "e2e".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "e2e".to_owned()),
            ("AZURE_TENANT_ID", "directory".to_owned()),
            ("AZURE_CLIENT_ID", "gateway".to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE", self.folder.join("federated-token").display().to_string()),
        ]
    }

    /// Replaces the contents of the clouds by those of a store.
    pub async fn hold(&self, store: &Value) -> Result<()> {
        if let Ok(mut contents) = self.contents.lock() {
            contents.clone_from(store);
        }
        self.client.post(format!("{}/moto-api/reset", self.aws)).send().await?.error_for_status()?;
        for (name, secret) in store["AWS"].as_object().into_iter().flatten() {
            let mut body = json!({ "Name": name });
            for (to, from) in [("SecretString", "stringValue"), ("SecretBinary", "binaryValue")] {
                if let Some(value) = secret[from].as_str().filter(|value| !value.is_empty()) {
                    body[to] = json!(value);
                }
            }
            let credential = format!("AWS4-HMAC-SHA256 Credential=e2e/20260101/{REGION}/secretsmanager/aws4_request");
            let request = self.client.post(&self.aws).json(&body);
            let request = request.header("X-Amz-Target", "secretsmanager.CreateSecret");
            let request = request.header("Authorization", format!("{credential}, SignedHeaders=host, Signature=0"));
            let answer = request.send().await?.error_for_status();
            answer.with_context(|| format!("moto does not take {name}"))?;
        }
        Ok(())
    }
}

fn held(contents: &Contents, cloud: &str, name: &str) -> Option<Value> {
    contents.lock().ok()?.get(cloud)?.get(name).cloned()
}

/// Serves `projects/*/secrets/*/versions/latest:access`.
async fn google(State(contents): State<Contents>, uri: Uri) -> Response {
    let name = uri.path().strip_prefix("/v1/projects/acme-prod/secrets/");
    let name = name.and_then(|rest| rest.strip_suffix("/versions/latest:access"));
    let Some(bytes) = name.and_then(|name| bytes(&held(&contents, "GCP", name)?)) else {
        let error = json!({ "error": { "code": 404, "status": "NOT_FOUND", "message": "not found" } });
        return (StatusCode::NOT_FOUND, Json(error)).into_response();
    };
    let payload = json!({ "data": STANDARD.encode(&bytes), "dataCrc32c": crc32c::crc32c(&bytes).to_string() });
    Json(json!({ "name": "projects/1/secrets/x/versions/3", "payload": payload })).into_response()
}

fn bytes(secret: &Value) -> Option<Vec<u8>> {
    match secret["binaryValue"].as_str() {
        Some(binary) => STANDARD.decode(binary).ok(),
        None => Some(secret["stringValue"].as_str()?.into()),
    }
}

/// Exchanges the federated token.
async fn entra() -> Json<Value> {
    Json(json!({ "access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer" }))
}

/// Serves a secret's latest version, and a challenge without a token.
async fn vault(State(contents): State<Contents>, Segments(name): Segments<String>, headers: HeaderMap) -> Response {
    let error = |code: &str| Json(json!({ "error": { "code": code, "message": "in words" } }));
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if sent != Some(&format!("Bearer {TOKEN}")) {
        let challenge = [(header::WWW_AUTHENTICATE, CHALLENGE)];
        return (StatusCode::UNAUTHORIZED, challenge, error("Unauthorized")).into_response();
    }
    match held(&contents, "Azure", &name) {
        Some(secret) => {
            let id = format!("https://acme-kv.vault.azure.net/secrets/{name}/1");
            Json(json!({ "value": secret["stringValue"], "id": id, "attributes": { "enabled": true } })).into_response()
        }
        None => (StatusCode::NOT_FOUND, error("SecretNotFound")).into_response(),
    }
}
