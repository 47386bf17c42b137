//! A test double of the gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

/// Returns a response of HTTP/1.1.
pub fn http(code: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {code} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Returns a failure as a `Status` of Kubernetes.
pub fn status(code: u16, headers: &str, reason: &str, message: &str) -> Vec<u8> {
    http(code, headers, json!({ "kind": "Status", "reason": reason, "message": message }).to_string().as_bytes())
}

/// Returns the body of a pull.
pub fn body(files: &[(&str, &[u8])], variables: &[(&str, &[u8])]) -> Vec<u8> {
    let entries = |values: &[(&str, &[u8])]| {
        values.iter().map(|(name, value)| json!({ "name": name, "bytes": value.len() })).collect::<Vec<_>>()
    };
    let mut body = json!({ "files": entries(files), "variables": entries(variables) }).to_string().into_bytes();
    body.push(b'\n');
    for (_, value) in [files, variables].concat() {
        body.extend_from_slice(value);
    }
    body
}

pub struct Gateway {
    pub address: String,
    pub ca: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Answers each connection with the next answer, or closes it before TLS if that is empty; the last one repeats.
    pub fn start(answers: Vec<Vec<u8>>) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (config, seen) = (Arc::new(config), Arc::clone(&requests));
        thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                let answer = &answers[number.min(answers.len() - 1)];
                if !answer.is_empty() {
                    // A client that does not trust us is no failure here.
                    let _ = serve(connection.unwrap(), &config, answer, &seen);
                }
            }
        });
        Self { address, ca: cert.pem(), requests }
    }

    /// The heads of all requests.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    connection: TcpStream,
    config: &Arc<ServerConfig>,
    answer: &[u8],
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let tls = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(tls, connection));
    let mut head = String::new();
    while stream.read_line(&mut head)? > 2 {}
    seen.lock().unwrap().push(head);
    let mut stream = stream.into_inner();
    stream.write_all(answer)?;
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.sock.shutdown(Shutdown::Write)?;
    // Until the client has read it all.
    stream.sock.read_to_end(&mut Vec::new())?;
    Ok(())
}
