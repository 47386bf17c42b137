//! etcd and kube-apiserver on loopback, as envtest starts them. Does not know what is installed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::KeyPair;

use crate::authority::Authority;
use crate::node::NAME as NODE;
use crate::process::{self, Process};
use crate::tools::program;

const FLAGS: [&str; 12] = [
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    "--endpoint-reconciler-type=none",
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--kubelet-preferred-address-types=InternalIP",
    "--service-account-issuer=https://kubernetes.default.svc",
    // All of loopback is this machine, so the API server reaches Services without a proxy.
    "--service-cluster-ip-range=127.96.0.0/16",
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
];

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: RequestResponse
    resources:
      - { group: '', resources: [pods] }
      - { group: secret-gateway.flyte.org }
  - level: None
";

/// A control plane without controllers, which a node can join.
pub struct ControlPlane {
    /// Kubeconfig of `system:masters`.
    pub kubeconfig: PathBuf,
    pub url: String,
    /// Address of etcd, without TLS.
    pub etcd: String,
    /// Audit log of requests and responses for pods and the secret gateway's kinds, one in each line.
    pub audit_log: PathBuf,
    /// Certificate authority, with its file.
    pub authority: Authority,
    pub ca: PathBuf,
    /// Token of the kubelet of [`crate::node`].
    pub node_token: String,
    _api_server: Process,
    _etcd: Process,
}

impl ControlPlane {
    /// Starts both, and waits until the API server is ready.
    pub async fn start(folder: &Path) -> Result<Self> {
        let given = if std::env::var_os("KUBEBUILDER_ASSETS").is_some() { "KUBEBUILDER_ASSETS" } else { "E2E_TOOLS" };
        let (store, api) = (process::free_port()?, process::free_port()?);
        let etcd_url = format!("http://127.0.0.1:{store}");
        let etcd = Process::start(folder, "etcd", &program(given, "etcd")?, |command| {
            let peers = "http://127.0.0.1:0";
            command.arg("--data-dir").arg(folder.join("etcd"));
            command.args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url]);
            command.args(["--listen-peer-urls", peers, "--unsafe-no-fsync"]);
        })?;
        let authority = Authority::new("e2e");
        let (server, proxy) = (authority.server("localhost"), authority.client("front-proxy-client"));
        let kubelet = authority.client("kube-apiserver-kubelet-client");
        let accounts = KeyPair::generate()?;
        let (token, node_token) = (random()?, random()?);
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
            Ok(path)
        };
        let ca = write("ca.crt", &authority.certificate)?;
        let tokens = format!(
            "{token},admin,admin,\"system:masters\"\n{node_token},system:node:{NODE},{NODE},\"system:nodes\"\n"
        );
        let tokens = write("tokens.csv", &tokens)?;
        let audit_log = folder.join("audit.log");
        let files = [
            ("audit-policy-file", write("audit-policy.yaml", AUDIT_POLICY)?),
            ("audit-log-path", audit_log.clone()),
            ("tls-cert-file", write("server.crt", &server.certificate)?),
            ("tls-private-key-file", write("server.key", &server.key)?),
            ("proxy-client-cert-file", write("front-proxy.crt", &proxy.certificate)?),
            ("proxy-client-key-file", write("front-proxy.key", &proxy.key)?),
            ("kubelet-certificate-authority", ca.clone()),
            ("kubelet-client-certificate", write("kubelet-client.crt", &kubelet.certificate)?),
            ("kubelet-client-key", write("kubelet-client.key", &kubelet.key)?),
            ("requestheader-client-ca-file", ca.clone()),
            ("client-ca-file", ca.clone()),
            ("token-auth-file", tokens),
            ("service-account-key-file", write("accounts.pub", &accounts.public_key_pem())?),
            ("service-account-signing-key-file", write("accounts.key", &accounts.serialize_pem())?),
        ];
        let mut api_server = Process::start(folder, "kube-apiserver", &program(given, "kube-apiserver")?, |command| {
            command.args(files.iter().map(|(flag, path)| format!("--{flag}={}", path.display())));
            command.arg(format!("--etcd-servers={etcd_url}")).arg(format!("--secure-port={api}"));
            command.args(FLAGS).env("TMPDIR", folder);
        })?;
        let url = format!("https://localhost:{api}");
        let kubeconfig = write("kubeconfig", &kubeconfig(&url, &ca, &token))?;
        let ready = async || process::run("kubectl", &kubeconfig, &["get", "--raw", "/readyz"]).await.is_ok();
        api_server.until(ready).await?;
        Ok(Self {
            kubeconfig,
            url,
            etcd: etcd_url,
            audit_log,
            authority,
            ca,
            node_token,
            _api_server: api_server,
            _etcd: etcd,
        })
    }
}

/// Returns a random token.
fn random() -> Result<String> {
    Ok(hex::encode(KeyPair::generate()?.public_key_raw()))
}

/// Returns a kubeconfig with one cluster, and one user with a token.
pub fn kubeconfig(server: &str, authority: &Path, token: &str) -> String {
    let authority = authority.display();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: e2e\n\
         clusters: [{{ name: e2e, cluster: {{ server: \"{server}\", certificate-authority: \"{authority}\" }} }}]\n\
         users: [{{ name: e2e, user: {{ token: \"{token}\" }} }}]\n\
         contexts: [{{ name: e2e, context: {{ cluster: e2e, user: e2e }} }}]\n"
    )
}
