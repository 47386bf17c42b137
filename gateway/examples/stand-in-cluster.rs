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
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use flyte_secrets_policy::grant::AUDIENCE;
use kit::authority::{Authority, Identity};
use kit::client::Client;
use kit::cluster::{Cluster, bound};
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
    let folder = Path::new(&folder);
    let gateway: SocketAddr = std::env::args().nth(2).as_deref().unwrap_or("127.0.0.1:8443").parse()?;
    std::fs::create_dir_all(folder)?;

    let (front_proxy, authority) = (Authority::new("front-proxy-ca"), Authority::new("gateway-ca"));
    let server = authority.server("localhost");
    std::fs::write(folder.join("tls.crt"), &server.certificate)?;
    std::fs::write(folder.join("tls.key"), &server.key)?;
    std::fs::write(folder.join("ca.crt"), &authority.certificate)?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: stand-in\n\
         clusters: [{{ name: stand-in, cluster: {{ server: \"http://{address}\" }} }}]\n\
         users: [{{ name: stand-in, user: {{}} }}]\n\
         contexts: [{{ name: stand-in, context: {{ cluster: stand-in, user: stand-in }} }}]\n"
    );
    std::fs::write(folder.join("kubeconfig"), kubeconfig)?;

    let proxy = Arc::new(Proxy { gateway, authority, identity: front_proxy.client(kit::FRONT_PROXY) });
    let cluster = Cluster::start().await;
    cluster.trust(&[&front_proxy], &[kit::FRONT_PROXY]);
    let pods = cluster.clone();
    let router: Router = cluster
        .router()
        .route("/api/v1/namespaces/{namespace}/pods", post(|pod| create(pods, pod)))
        .fallback(hand_on)
        .with_state(proxy);
    println!(
        "the gateway:  listen: {gateway}, tls and access.kubeconfig with the files of {0}\n\
         its clients:  KUBECONFIG={0}/kubeconfig kubectl get awssecrets NAME -o yaml",
        folder.display()
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

async fn hand_on(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    match proxy.hand_on(request).await {
        Ok(response) => response,
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the gateway at {}: {error:#}", proxy.gateway)).into_response()
        }
    }
}

impl Proxy {
    async fn hand_on(&self, request: Request) -> Result<Response> {
        let client = Client::connect(self.gateway, &self.authority, Some(&self.identity)).await?;
        let mut client = client.user("stand-in").with("x-remote-group", "system:authenticated");
        if let Some(accept) = request.headers().get("accept") {
            client = client.with("accept", accept.to_str()?);
        }
        let path = request.uri().path_and_query().context("a path")?.as_str();
        let answer = client.send(request.method().clone(), path).await?;
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status)?;
        let kept = ["content-type", "retry-after"];
        *response.headers_mut() = answer
            .headers
            .into_iter()
            .filter_map(|(name, value)| Some((name?, value)))
            .filter(|(name, _)| kept.contains(&name.as_str()))
            .collect::<HeaderMap>();
        Ok(response)
    }
}
