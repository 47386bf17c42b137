//! Authorities and the certificates that they sign.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// The year in which certificates end that are not said to end earlier.
const FOR_EVER: i32 = 4096;

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub certificate: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(&[name], &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// For a client of this common name.
    pub fn client(&self, name: &str) -> Identity {
        self.client_until(&[name], FOR_EVER)
    }

    /// For a client of these common names, in this order, until the first day of a year.
    pub fn client_until(&self, names: &[&str], year: i32) -> Identity {
        self.sign(named(names, &[]), ExtendedKeyUsagePurpose::ClientAuth, year)
    }

    /// For a server that is known by this name.
    pub fn server(&self, host: &str) -> Identity {
        self.server_until(host, FOR_EVER)
    }

    /// The same until the first day of a year.
    pub fn server_until(&self, host: &str, year: i32) -> Identity {
        self.sign(named(&["server"], &[host.to_owned()]), ExtendedKeyUsagePurpose::ServerAuth, year)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose, year: i32) -> Identity {
        params.extended_key_usages = vec![usage];
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

fn named(names: &[&str], hosts: &[String]) -> CertificateParams {
    let mut params = CertificateParams::new(hosts).expect("names");
    // A name of several common names has each as an attribute of its own.
    for (number, name) in names.iter().enumerate() {
        let kind = if number == 0 { DnType::CommonName } else { DnType::CustomDnType(vec![2, 5, 4, 3]) };
        params.distinguished_name.push(kind, *name);
    }
    params
}
