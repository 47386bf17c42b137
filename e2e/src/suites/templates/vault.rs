//! A double of Vault on loopback, with key-value engines of both versions and a database engine, as far as templates
//! need.

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Token that may read everything.
pub const TOKEN: &str = "a-token";

/// A running double, until it is dropped.
pub struct Vault {
    pub address: String,
    task: AbortHandle,
}

impl Drop for Vault {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Vault {
    /// Serves contents by path: `kv` has version 1, `secret` version 2 (with `data/`), `database` has leases.
    pub async fn start(contents: Value) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/v1/{*path}", get(read)).with_state(contents);
        let task = tokio::spawn(axum::serve(listener, router).into_future()).abort_handle();
        Ok(Self { address, task })
    }
}

async fn read(
    State(contents): State<Value>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    if headers.get("x-vault-token").is_none_or(|token| token != TOKEN) {
        return (StatusCode::FORBIDDEN, Json(json!({ "errors": ["permission denied"] })));
    }
    let engine = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    if let Some(path) = path.strip_prefix("sys/internal/ui/mounts/") {
        let mount = match engine(path).as_str() {
            "kv" => json!({ "path": "kv/", "type": "kv", "options": { "version": "1" } }),
            "secret" => json!({ "path": "secret/", "type": "kv", "options": { "version": "2" } }),
            other => json!({ "path": format!("{other}/"), "type": other, "options": null }),
        };
        return (StatusCode::OK, Json(json!({ "data": mount })));
    }
    let Some(held) = contents.get(&path) else {
        return (StatusCode::NOT_FOUND, Json(json!({ "errors": [] })));
    };
    let answer = match engine(&path).as_str() {
        "secret" => {
            let metadata = json!({
                "created_time": "2026-01-02T03:04:05.678901234Z", "custom_metadata": null, "deletion_time": "",
                "destroyed": false, "version": 3,
            });
            let data = json!({ "data": held, "metadata": metadata });
            json!({ "lease_id": "", "renewable": false, "lease_duration": 0, "data": data })
        }
        "database" => {
            json!({ "lease_id": format!("{path}/1"), "renewable": true, "lease_duration": 3600, "data": held })
        }
        _ => json!({ "lease_id": "", "renewable": false, "lease_duration": 2_764_800, "data": held }),
    };
    (StatusCode::OK, Json(answer))
}
