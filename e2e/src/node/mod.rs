//! A node: containerd and a kubelet in mount and process namespaces of their own, which can change only cgroups and one
//! folder of the machine.

mod images;
pub mod machine;
mod network;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::control_plane::{ControlPlane, kubeconfig};
use crate::process::{self, Process};
use crate::tools::{given, on_path, repository};

pub use images::{BUSYBOX, PULL, applets};
pub use network::Network;

/// Name and address of the node. Pods reach no other address.
pub const NAME: &str = "127.0.0.1";
/// Parent of the pods' cgroups, below the root of each hierarchy.
const CGROUP: &str = "k8s.io";

/// A running node.
pub struct Node {
    /// The controllers of cgroups that were enabled before.
    controllers: BTreeSet<String>,
    pub network: Network,
    unshare: Option<Process>,
    /// The first process of its namespaces.
    first: Option<Pid>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // When the first process ends, the kernel ends all others before it reports the exit. Cgroups remain.
        self.unshare = None;
        if let Some(first) = self.first {
            let _ = waitpid(Some(first), WaitOptions::empty());
        }
        remove_cgroups();
        machine::restore_controllers(&self.controllers);
    }
}

/// Removes cgroups, also of a node that was killed.
pub fn remove_cgroups() {
    machine::remove_cgroups(CGROUP);
}

impl Node {
    /// Starts a node, and waits until it is ready.
    pub async fn start(folder: &Path, plane: &ControlPlane, cluster: &Cluster) -> Result<Self> {
        let programs = given("E2E_NODE_TOOLS")?;
        let (runc, unshare, busybox) = (on_path("runc")?, on_path("unshare")?, on_path("busybox")?);
        let controllers = machine::controllers();
        // Makes its first process a child of this one when unshare has ended.
        set_child_subreaper(Some(getpid())).context("cannot adopt orphans")?;
        let folder = folder.join("node");
        for part in ["logs", "plugins", "tmp"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        images::write(&folder.join("images.tar"), &busybox, &given("E2E_PULL")?)?;
        let network = Network::new(&folder)?;
        let identity = plane.authority.server(NAME);
        for (file, text) in [
            ("containerd.toml", containerd(&folder, &runc)),
            ("kubelet.crt", identity.certificate),
            ("kubelet.key", identity.key),
            ("kubelet.json", kubelet(&folder, plane)?.to_string()),
            ("kubeconfig", kubeconfig(&plane.url, &plane.ca, &plane.node_token)),
        ] {
            std::fs::write(folder.join(file), text)?;
        }
        let process = Process::start(&folder, "kubelet", &unshare, |command: &mut Command| {
            command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"]);
            command.arg(repository("e2e/src/node/start.sh")).arg(&folder);
            command.arg("--config").arg(folder.join("kubelet.json"));
            command.arg("--kubeconfig").arg(folder.join("kubeconfig"));
            command.arg("--root-dir").arg(folder.join("kubelet"));
            command.arg("--cert-dir").arg(folder.join("kubelet"));
            command.args(["--hostname-override", NAME]);
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", programs.display()));
        })?;
        let id = process.id();
        let mut started = Self { controllers, network, unshare: Some(process), first: None };
        if let Some(unshare) = &mut started.unshare {
            unshare.until(async || ready(cluster).await == Some(true)).await?;
        }
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        started.first = Pid::from_raw(children.trim().parse().context("unshare has no child")?);
        started.network.serve(started.first.context("unshare has no child")?);
        Ok(started)
    }
}

async fn ready(cluster: &Cluster) -> Option<bool> {
    let node = cluster.admin.get(&format!("/api/v1/nodes/{NAME}")).await.ok()?.ok().ok()?;
    let conditions = node["status"]["conditions"].as_array()?;
    Some(conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
}

fn containerd(folder: &Path, runc: &Path) -> String {
    let (folder, runc) = (folder.display(), runc.display());
    format!(
        r#"version = 3
root = "{folder}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.internal.v1.tracing", "io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{BUSYBOX}"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{folder}/cni"]
conf_dir = "{folder}/cni"
use_internal_loopback = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"#
    )
}

fn kubelet(folder: &Path, plane: &ControlPlane) -> Result<Value> {
    Ok(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": NAME, "port": process::free_port()?, "readOnlyPort": 0, "healthzPort": 0,
        "tlsCertFile": folder.join("kubelet.crt"), "tlsPrivateKeyFile": folder.join("kubelet.key"),
        "authentication": {
            "anonymous": { "enabled": false }, "webhook": { "enabled": false }, "x509": { "clientCAFile": plane.ca },
        },
        "authorization": { "mode": "AlwaysAllow" },
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "podLogsDir": folder.join("logs"), "volumePluginDir": folder.join("plugins"),
        "cgroupDriver": "cgroupfs", "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [], "failCgroupV1": false, "failSwapOn": false, "oomScoreAdj": 0,
        "localStorageCapacityIsolation": false, "makeIPTablesUtilChains": false, "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "imagefs.available": "0%", "imagefs.inodesFree": "0%", "memory.available": "0%", "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "clusterDNS": ["192.0.2.53"], "maxPods": 250, "nodeStatusUpdateFrequency": "2s",
        "kubeAPIQPS": 200, "kubeAPIBurst": 400, "eventRecordQPS": 0,
    }))
}
