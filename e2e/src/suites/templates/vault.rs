//! A double of Vault on loopback, with key-value engines of both versions, as far as templates need.

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::serve;

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
    /// Serves contents by path: `kv` has version 1, `secret` version 2 (with `data/`).
    pub async fn start(contents: Value) -> Result<Self> {
        let (address, task) = serve::http(Router::new().route("/v1/{*path}", get(read)).with_state(contents)).await?;
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
    let metadata = json!({
        "created_time": "2026-01-02T03:04:05.678901234Z", "custom_metadata": null, "deletion_time": "",
        "destroyed": false, "version": 3,
    });
    let (duration, data) = match engine(&path).as_str() {
        "secret" => (0, json!({ "data": held, "metadata": metadata })),
        _ => (2_764_800, held.clone()),
    };
    let answer = json!({ "lease_id": "", "renewable": false, "lease_duration": duration, "data": data });
    (StatusCode::OK, Json(answer))
}
