//! The program `secret-gateway`: arguments, log and signals.

use std::alloc::System;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use flyte_secrets_policy::settings::Provider;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secret_gateway::access::tls;
use secret_gateway::config::{Access, Config};
use secret_gateway::names::Kind;
use secret_gateway::providers::k8s::Secrets;
use secret_gateway::server::{Parts, Server};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};
use zeroizing_alloc::ZeroAlloc;

/// Wipes freed memory, also buffers of SDKs and TLS.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// Aggregated Kubernetes API server for secrets of cloud providers
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file, in YAML
    #[arg(long, value_name = "FILE", env = "SECRET_GATEWAY_CONFIG")]
    config: PathBuf,
    /// Validate the configuration and exit
    #[arg(long)]
    check: bool,
    /// Log filter, as directives of tracing
    #[arg(long, value_name = "DIRECTIVES", env = "SECRET_GATEWAY_LOG", default_value = "info")]
    log: EnvFilter,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let Arguments { config, check, log } = Arguments::parse();
    let lines = fmt::layer().json().with_writer(std::io::stderr).with_filter(filter_fn(holds_no_value));
    tracing_subscriber::registry().with(log).with(lines).init();
    match Config::load(&config).map_err(Error::from).and_then(|config| if check { Ok(()) } else { run(config) }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "exiting");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether log lines cannot contain values: below `info`, SDKs, HTTP and TLS log what they send and receive.
fn holds_no_value(metadata: &Metadata) -> bool {
    metadata.target().starts_with("secret_gateway") || *metadata.level() <= Level::INFO
}

fn run(config: Config) -> Result<(), Error> {
    // Core dumps would contain memory that is not wiped.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    raise_open_files(config.open_files())?;
    // kube and the SDKs use the process's default.
    let _ = rustls::crypto::CryptoProvider::clone(&tls::provider()).install_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    runtime.enable_all().build()?.block_on(serve(config))
}

/// Raises the limit of open files as far as possible: without a free one, no connection is accepted.
fn raise_open_files(needed: u64) -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    match limit.maximum {
        Some(maximum) if maximum < needed => Err(format!(
            "limit of open files is {maximum}, but `limits.connections` requires {needed}; raise the limit or lower \
             `limits.connections`"
        )
        .into()),
        _ => Ok(()),
    }
}

async fn serve(config: Config) -> Result<(), Error> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cluster = kube::Client::try_from(cluster(&config.access).await?)?;
    let mut providers = secret_gateway::providers::open(&config.providers).await?;
    if let Some(k8s) = &config.providers.k8s {
        providers.insert(Kind::Store(Provider::K8s), Arc::new(Secrets::open(k8s, cluster.clone())));
    }
    let audit = Box::new(std::io::stdout());
    let starting = Server::start(Parts { config, providers, cluster, audit });
    let server = tokio::select! {
        server = starting => server?,
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("stopping");
    server.stop().await;
    Ok(())
}

async fn cluster(access: &Access) -> Result<kube::Config, Error> {
    Ok(match &access.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    })
}
