//! A replacement of the API server for one gateway on loopback: the ConfigMap with the front proxy's authority, reviews
//! that allow everything, and the proxy that forwards requests with its certificate and a user. For demos; it protects
//! nothing.
//!
//! `cargo run --package flyte-secret-gateway --example stand-in-cluster -- FOLDER [ADDRESS]` leaves in the folder
//! `ca.crt`, `tls.crt` and `tls.key` for the gateway, and `kubeconfig` for the gateway and its clients. The gateway is
//! expected at the address, or at 127.0.0.1:8443. A pod that is posted is there from then on, and its token is its
//! name.

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flyte_secrets_policy::grant::AUDIENCE;
use kit::Kit;
use kit::authority::{Authority, Identity};
use kit::client::Client;
use kit::cluster::{Cluster, bound, kubeconfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The proxy's connection to the gateway.
struct Proxy {
    gateway: SocketAddr,
    authority: Authority,
    identity: Identity,
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("the folder for certificates and kubeconfig is missing")?;
    let gateway: SocketAddr = std::env::args().nth(2).as_deref().unwrap_or("127.0.0.1:8443").parse()?;
    std::fs::create_dir_all(&folder)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let Kit { cluster, authority, server_authority, files, .. } = Kit::new().await;
    for file in ["tls.crt", "tls.key"] {
        std::fs::copy(files.path().join(file), format!("{folder}/{file}"))?;
    }
    std::fs::write(format!("{folder}/ca.crt"), &server_authority.certificate)?;
    std::fs::write(format!("{folder}/kubeconfig"), kubeconfig(listener.local_addr()?))?;

    let identity = authority.client(kit::FRONT_PROXY);
    let proxy = Arc::new(Proxy { gateway, authority: server_authority, identity });
    let pods = cluster.clone();
    let router = cluster.router().route("/api/v1/namespaces/{namespace}/pods", post(|pod| create(pods, pod))).fallback(
        move |request| async move {
            proxy.hand_on(request).await.unwrap_or_else(|error| {
                (StatusCode::SERVICE_UNAVAILABLE, format!("the gateway at {gateway}: {error:#}")).into_response()
            })
        },
    );
    println!(
        "the gateway:  listen: {gateway}, tls and access.kubeconfig with the files of {folder}\n\
         its clients:  KUBECONFIG={folder}/kubeconfig kubectl get awssecrets NAME -o yaml"
    );
    axum::serve(listener, router).await?;
    Ok(())
}

/// Stores a pod, with a token that is bound to it.
#[allow(clippy::indexing_slicing)] // JSON has an answer for every key
async fn create(cluster: Cluster, Json(mut pod): Json<Value>) -> StatusCode {
    pod["metadata"]["uid"] = json!("uid");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, namespace) = (text(&pod["metadata"]["name"]), text(&pod["metadata"]["namespace"]));
    let account = text(&pod["spec"]["serviceAccountName"]);
    cluster.token(&name, AUDIENCE, bound(&namespace, &account, &name, "uid"));
    cluster.object("pods", pod);
    StatusCode::CREATED
}

impl Proxy {
    async fn hand_on(&self, request: Request) -> Result<Response> {
        let client = Client::connect(self.gateway, &self.authority, Some(&self.identity)).await?;
        let mut client = client.user("stand-in").with("x-remote-group", "system:authenticated");
        if let Some(accept) = request.headers().get("accept") {
            client = client.with("accept", accept.to_str()?);
        }
        let path = request.uri().path_and_query().context("a path")?.as_str();
        let answer = client.send(request.method().clone(), path, "").await?;
        let mut response = (StatusCode::from_u16(answer.status)?, answer.body).into_response();
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
            if let Some(value) = answer.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }
}
