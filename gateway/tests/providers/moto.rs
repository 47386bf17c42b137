//! moto's server: AWS on loopback, from PyPI.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// The versions of tools, moto's among them; tests of another version would be other tests.
const VERSIONS: &str = include_str!("../../../make/versions.mk");

/// Serves until its standard input ends, which it does with the process that started it, however that ends.
const SERVER: &str = r#"
import os, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"#;

/// The server; ends when it is dropped.
pub struct Moto {
    pub url: String,
    server: Child,
    _until: ChildStdin,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    pub fn start() -> Self {
        let mut server = Command::new(python())
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = server.stdin.take().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let moto = Self { url: format!("http://127.0.0.1:{}", port.trim()), server, _until: until };
        assert!(port.trim().parse::<u16>().is_ok(), "moto's server did not start; it said {port:?}");
        moto
    }
}

/// The interpreter of an environment that has moto, which is made once for all test runs.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("moto");
    fs::create_dir_all(&home).unwrap();
    let lock = File::create(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let (complete, interpreter) = (home.join("complete"), home.join("venv/bin/python"));
    let version = VERSIONS.lines().find_map(|line| line.strip_prefix("MOTO_VERSION := ")).unwrap();
    let moto = format!("moto[server]=={version}");
    if fs::read_to_string(&complete).ok().as_ref() != Some(&moto) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home.join("venv")));
        run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &moto]));
        fs::write(&complete, &moto).unwrap();
    }
    interpreter
}

fn run(command: &mut Command) {
    let way_out = "moto needs python3 with its venv module (on Debian: python3-venv), and a package index that pip \
                   reaches (PIP_INDEX_URL)";
    match command.output() {
        Err(error) => panic!("{command:?} cannot be run: {error}; {way_out}"),
        Ok(output) if !output.status.success() => {
            panic!("{command:?} failed: {}; {way_out}", String::from_utf8_lossy(&output.stderr))
        }
        Ok(_) => {}
    }
}
