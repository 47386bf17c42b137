//! Images of the node in one OCI archive: busybox, and stubs of the clouds' tools based on it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

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

/// Returns the names of busybox's applets.
pub fn applets(busybox: &Path) -> Result<Vec<String>> {
    let list = Command::new(busybox).arg("--list").output().context("cannot run busybox")?;
    Ok(String::from_utf8(list.stdout)?.lines().map(str::to_owned).collect())
}

/// Writes all images to `file`.
pub fn write(file: &Path, busybox: &Path, puller: &Path) -> Result<()> {
    let applets = applets(busybox)?;
    let (busybox, puller) = (std::fs::read(busybox)?, std::fs::read(puller)?);
    let base = layer(|tar| {
        for (folder, mode) in
            [("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("proc", 0o755), ("sys", 0o755), ("tmp", 0o1777)]
        {
            append(tar, EntryType::Directory, mode, folder, &[])?;
        }
        append(tar, EntryType::Regular, 0o644, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")?;
        append(tar, EntryType::Regular, 0o755, "bin/busybox", &busybox)?;
        let mut link = Header::new_gnu();
        link.set_entry_type(EntryType::Symlink);
        let mut applets = applets.iter().filter(|applet| *applet != "busybox");
        Ok(applets.try_for_each(|applet| tar.append_link(&mut link, format!("bin/{applet}"), "busybox"))?)
    })?;
    let program = |path: &str, bytes: &[u8]| layer(|tar| append(tar, EntryType::Regular, 0o755, path, bytes));
    let (gcloud, az) = (program("bin/gcloud", GCLOUD.as_bytes())?, program("bin/az", AZ.as_bytes())?);
    let runs = |command: &[&str]| json!({ "Cmd": command, "Env": ["PATH=/bin"] });
    let sleep = runs(&["/bin/sleep", "2147483647"]);
    let mut archive = Archive { tar: Builder::new(File::create(file)?), manifests: Vec::new() };
    archive.image(BUSYBOX, &sleep, &[&base])?;
    archive.image(&AwsSecretManager::default().sidecar_image, &runs(&["/bin/sh", "-ec", AWS]), &[&base])?;
    archive.image(&GcpSecretManager::default().sidecar_image, &sleep, &[&base, &gcloud])?;
    archive.image(&AzureSecretManager::default().sidecar_image, &sleep, &[&base, &az])?;
    // As in pull/Containerfile.
    let pull = json!({ "Entrypoint": ["/flyte-secrets-pull"], "User": "65532:65532" });
    archive.image(PULL, &pull, &[&program("flyte-secrets-pull", &puller)?])?;
    archive.close()
}

/// Returns an uncompressed layer, which has one digest.
fn layer(fill: impl FnOnce(&mut Builder<Vec<u8>>) -> Result<()>) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    fill(&mut tar)?;
    Ok(tar.into_inner()?)
}

fn append(tar: &mut Builder<impl Write>, kind: EntryType, mode: u32, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    Ok(tar.append_data(&mut header, path, bytes)?)
}

/// An archive in the OCI image layout.
struct Archive {
    tar: Builder<File>,
    manifests: Vec<Value>,
}

impl Archive {
    fn image(&mut self, name: &str, config: &Value, layers: &[&[u8]]) -> Result<()> {
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let blobs: Vec<Value> = layers.iter().map(|layer| self.blob(kind, layer)).collect::<Result<_>>()?;
        let digests: Vec<&Value> = blobs.iter().map(|blob| &blob["digest"]).collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let root = json!({ "type": "layers", "diff_ids": digests });
        let config = json!({ "architecture": architecture, "os": "linux", "config": config, "rootfs": root });
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
        append(&mut self.tar, EntryType::Regular, 0o644, &format!("blobs/sha256/{digest}"), bytes)?;
        Ok(json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    }

    fn close(mut self) -> Result<()> {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        append(&mut self.tar, EntryType::Regular, 0o644, "index.json", index.to_string().as_bytes())?;
        append(&mut self.tar, EntryType::Regular, 0o644, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(self.tar.finish()?)
    }
}
