//! Images of the node in one OCI archive: busybox, and stubs of the clouds' tools based on it.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use flyte_secrets_policy::settings::{AwsSecretManager, AzureSecretManager, GcpSecretManager};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The image of tasks, of Embedded's init container, and of sandboxes.
pub const BUSYBOX: &str = "localhost/e2e:1";

/// The image of the puller, with its binary only.
pub const PULL: &str = "localhost/pull:1";

/// Stub of Amazon's sidecar: writes below `/tmp`. The value is the ARN.
const AWS: &str = r#"file=/tmp$SECRET_FILENAME; mkdir -p "${file%/*}"; printf %s "$SECRET_ARN" > "$file""#;
/// Stub of gcloud, which writes files for its own user only. The value is the secret's resource name with its version.
const GCLOUD: &str = "#!/bin/sh\nset -eu; umask 077\n[ \"$1 $2 $3\" = 'secrets versions access' ]\n\
    printf %s \"$4\" > \"${5#--out-file=}\"\n";
/// Stub of az. The value is the secret's URI, with the line break that `-o tsv` adds.
const AZ: &str = "#!/bin/sh\nset -eu; case \"$1 $2\" in\n'login --service-principal') ;;\n\
    'keyvault secret') shift 4; echo \"$1\" ;;\n*) exit 2 ;;\nesac\n";

/// Writes all images to `file`.
pub fn write(file: &Path, busybox: &Path, applets: &str, puller: &Path) -> Result<()> {
    let base = Layer::new(|layer| {
        for folder in ["bin", "dev", "etc", "proc", "sys"] {
            layer.folder(folder, 0o755)?;
        }
        layer.folder("tmp", 0o1777)?;
        layer.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")?;
        layer.file("bin/busybox", &std::fs::read(busybox)?)?;
        applets.lines().filter(|applet| *applet != "busybox").try_for_each(|applet| layer.link(applet))
    })?;
    let gcloud = Layer::new(|layer| layer.file("bin/gcloud", GCLOUD.as_bytes()))?;
    let az = Layer::new(|layer| layer.file("bin/az", AZ.as_bytes()))?;
    let puller = Layer::new(|layer| layer.file("flyte-secrets-pull", &std::fs::read(puller)?))?;
    let runs = |command: &[&str]| json!({ "Cmd": command, "Env": ["PATH=/bin"] });
    let sleep = runs(&["/bin/sleep", "2147483647"]);
    let (aws, gcp, azure) = (AwsSecretManager::default(), GcpSecretManager::default(), AzureSecretManager::default());
    let mut archive = Archive { tar: Builder::new(File::create(file)?), manifests: Vec::new() };
    archive.image(BUSYBOX, &sleep, &[&base])?;
    archive.image(&aws.sidecar_image, &runs(&["/bin/sh", "-ec", AWS]), &[&base])?;
    archive.image(&gcp.sidecar_image, &sleep, &[&base, &gcloud])?;
    archive.image(&azure.sidecar_image, &sleep, &[&base, &az])?;
    // As in pull/Containerfile.
    archive.image(PULL, &json!({ "Entrypoint": ["/flyte-secrets-pull"], "User": "65532:65532" }), &[&puller])?;
    archive.close()
}

/// An uncompressed layer, which has one digest.
struct Layer(Vec<u8>);

struct LayerBuilder(Builder<Vec<u8>>);

impl Layer {
    fn new(fill: impl FnOnce(&mut LayerBuilder) -> Result<()>) -> Result<Self> {
        let mut builder = LayerBuilder(Builder::new(Vec::new()));
        fill(&mut builder)?;
        Ok(Self(builder.0.into_inner()?))
    }
}

impl LayerBuilder {
    fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        let mut header = header(EntryType::Directory, mode, 0);
        Ok(self.0.append_data(&mut header, path, std::io::empty())?)
    }

    fn file(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        let mut header = header(EntryType::Regular, 0o755, contents.len());
        Ok(self.0.append_data(&mut header, path, Cursor::new(contents))?)
    }

    fn link(&mut self, applet: &str) -> Result<()> {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        Ok(self.0.append_link(&mut header, format!("bin/{applet}"), "busybox")?)
    }
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header
}

/// An archive in the OCI image layout.
struct Archive {
    tar: Builder<File>,
    manifests: Vec<Value>,
}

impl Archive {
    fn image(&mut self, name: &str, config: &Value, layers: &[&Layer]) -> Result<()> {
        let mut blobs = Vec::new();
        for Layer(bytes) in layers {
            blobs.push(self.blob("application/vnd.oci.image.layer.v1.tar", bytes)?);
        }
        let digests: Vec<&Value> = blobs.iter().map(|blob| &blob["digest"]).collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": blobs });
        let mut manifest = self.blob(kind, manifest.to_string().as_bytes())?;
        manifest["annotations"] = json!({ "io.containerd.image.name": name });
        self.manifests.push(manifest);
        Ok(())
    }

    /// Appends a blob, and returns its descriptor.
    fn blob(&mut self, kind: &str, bytes: &[u8]) -> Result<Value> {
        let digest = hex::encode(Sha256::digest(bytes));
        self.entry(&format!("blobs/sha256/{digest}"), bytes)?;
        Ok(json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    }

    fn entry(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut header = header(EntryType::Regular, 0o644, bytes.len());
        self.tar.append_data(&mut header, path, Cursor::new(bytes)).context("cannot write the images")
    }

    fn close(mut self) -> Result<()> {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        self.entry("index.json", index.to_string().as_bytes())?;
        self.entry("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(self.tar.finish()?)
    }
}
