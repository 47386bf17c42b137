//! Network of the pods: each pod has loopback only, on which connections are forwarded to the gateway's listener for
//! pods.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// Port of the Service from which pods pull.
pub const PORT: u16 = 8444;

/// Connects the pods of a node to the gateway.
pub struct Network {
    folder: PathBuf,
    gateway: Gateway,
}

/// Current address of the gateway, if it runs.
type Gateway = Arc<Mutex<Option<SocketAddr>>>;

impl Network {
    /// Writes the CNI plugin, which gives pods an unreachable address, and waits until the pod's port is served.
    pub fn new(folder: &Path) -> Result<Self> {
        let folder = folder.join("cni");
        std::fs::create_dir_all(folder.join("served"))?;
        mknodat(CWD, folder.join("pods"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let plugin = folder.join("loopback-only");
        let script = format!(
            r#"#!/bin/sh
set -eu
case $CNI_COMMAND in
ADD)
	echo "$CNI_NETNS" > {folder}/pods
	until [ -e "{folder}/served/${{CNI_NETNS##*/}}" ]; do sleep 0.01; done
	echo "{{\"cniVersion\":\"1.0.0\",\"interfaces\":[{{\"name\":\"eth0\",\"sandbox\":\"$CNI_NETNS\"}}],\"ips\":[{{\"address\":\"192.0.2.1/32\",\"interface\":0}}]}}" ;;
VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}}' ;;
esac
"#,
            folder = folder.display()
        );
        std::fs::write(&plugin, script)?;
        std::fs::set_permissions(&plugin, PermissionsExt::from_mode(0o755))?;
        let list = json!({ "cniVersion": "1.0.0", "name": "e2e", "plugins": [{ "type": "loopback-only" }] });
        std::fs::write(folder.join("e2e.conflist"), list.to_string())?;
        Ok(Self { folder, gateway: Gateway::default() })
    }

    /// Sets the address to which connections are forwarded, or none.
    pub fn lead_to(&self, gateway: Option<SocketAddr>) {
        if let Ok(mut now) = self.gateway.lock() {
            *now = gateway;
        }
    }

    /// Serves the port in the network of each pod that starts; `first` is a process of the node's mount namespace.
    pub fn serve(&self, first: Pid) {
        let (folder, gateway, runtime) = (self.folder.clone(), Arc::clone(&self.gateway), Handle::current());
        let root = PathBuf::from(format!("/proc/{}/root", first.as_raw_nonzero()));
        std::thread::spawn(move || {
            // Also open for writing, so that reads do not end.
            let pods = File::options().read(true).write(true).open(folder.join("pods"));
            let lines = pods.map(|pods| BufReader::new(pods).lines()).into_iter().flatten();
            for network in lines.map_while(Result::ok) {
                let _within = runtime.enter();
                let listener = listen_in(root.join(network.trim_start_matches('/')));
                let said = match listener.and_then(|listener| Ok(tokio::net::TcpListener::from_std(listener)?)) {
                    Ok(listener) => {
                        runtime.spawn(relay(listener, Arc::clone(&gateway)));
                        String::new()
                    }
                    Err(error) => format!("{error:#}\n"),
                };
                let name = Path::new(&network).file_name().unwrap_or_default();
                let _ = std::fs::write(folder.join("served").join(name), said);
            }
        });
    }
}

/// Returns a listener in another network namespace. A thread of its own enters the namespace and ends.
fn listen_in(network: PathBuf) -> Result<TcpListener> {
    let listen = move || {
        let file = File::open(&network).with_context(|| format!("no network {}", network.display()))?;
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))?;
        // Loopback is not up yet, so listen on all addresses.
        let listener = TcpListener::bind(("0.0.0.0", PORT))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    std::thread::spawn(listen).join().map_err(|_| anyhow!("it panicked"))?
}

async fn relay(listener: tokio::net::TcpListener, gateway: Gateway) {
    while let Ok((mut pod, _)) = listener.accept().await {
        let Some(address) = gateway.lock().ok().and_then(|now| *now) else { continue };
        tokio::spawn(async move {
            if let Ok(mut gateway) = TcpStream::connect(address).await {
                // Both sides can disconnect.
                let _ = copy_bidirectional(&mut pod, &mut gateway).await;
            }
        });
    }
}
