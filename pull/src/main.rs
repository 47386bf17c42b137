//! x
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let grant = flyte_secrets_policy::grant::Grant::parse(&args).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let cert = ureq::tls::Certificate::from_pem(grant.ca.as_bytes()).unwrap();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[cert]))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let mut r = agent.post(&grant.gateway).send_empty().unwrap();
    println!("{}", r.body_mut().read_to_string().unwrap());
}
