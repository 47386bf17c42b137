//! The secrets that a pod was granted at admission, as arguments of the init container that pulls them.
//!
//! Labels and annotations can change after admission, and a pod's spec cannot: so the grant is part of the spec. The
//! policy writes it with [`Grant::to_args`], the gateway and the puller read it with [`Grant::parse`].
//!
//! ```text
//! pull --gateway https://HOST:PORT --ca BASE64 --scope ORGANIZATION/DOMAIN/PROJECT --patience 2m [--refresh 5m]
//!      [--file KEY [--group GROUP] [--version VERSION]]… [--env vN=KEY [--group GROUP] [--version VERSION]]…
//! ```

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cut;
use crate::names::{self, Scope};

/// The command, which is the first argument.
pub const COMMAND: &str = "pull";
/// The command of the startup probe, which checks that all granted secrets have been written.
pub const READY: &str = "ready";
/// Name of the init container that pulls.
pub const CONTAINER: &str = "flyte-secrets";
/// The volume of files, mounted at [`SECRETS_DIR`](crate::pod::SECRETS_DIR).
pub const FILES_VOLUME: &str = "flyte-secrets";
/// The volume of the env file.
pub const ENV_VOLUME: &str = "flyte-secrets-env";
/// Mount path of [`ENV_VOLUME`] in the init container.
pub const ENV_DIR: &str = "/run/flyte/secrets-env";
/// The env file, in [`ENV_VOLUME`].
pub const ENV_FILE: &str = "env";
/// The volume of the service account token.
pub const TOKEN_VOLUME: &str = "flyte-secrets-token";
/// Mount path of [`TOKEN_VOLUME`] in the init container.
pub const TOKEN_DIR: &str = "/run/flyte/secrets-token";
/// The token, in [`TOKEN_VOLUME`].
pub const TOKEN_FILE: &str = "token";
/// Default audience of the token.
pub const AUDIENCE: &str = "secret-gateway.flyte.org";

/// A granted secret.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Granted {
    /// The secret's key or, with a group, a property of the group's secret.
    pub key: String,
    /// The key of the secret that has the property; empty for the whole secret.
    pub group: String,
    /// Its version; empty for the current one.
    pub version: String,
}

impl Granted {
    /// Returns a grant of the current version of a whole secret.
    pub fn whole(key: &str) -> Self {
        Self { key: key.to_owned(), ..Self::default() }
    }

    /// Returns the key under which the secret is looked up.
    pub fn secret(&self) -> &str {
        if self.group.is_empty() { &self.key } else { &self.group }
    }

    /// What tells variables apart, in one text: no part has a line feed.
    fn parts(&self) -> String {
        [&*self.key, &self.group, &self.version].join("\n")
    }
}

/// The arguments of the init container.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// The gateway's pod listener, `https://host` with an optional port.
    pub gateway: String,
    /// The authority of the gateway's certificate, in PEM.
    pub ca: String,
    /// Organization.
    pub organization: String,
    /// Domain.
    pub domain: String,
    /// Project.
    pub project: String,
    /// How long the puller retries before it fails, in whole seconds.
    pub patience: Duration,
    /// How often files are pulled again, in whole seconds; `None` for an init container that ends.
    pub refresh: Option<Duration>,
    /// Secrets that become files; each key is its file's name.
    pub files: Vec<Granted>,
    /// Secrets that become variables; the env file has the n-th as `v<n>`.
    pub variables: Vec<Granted>,
}

/// The grant of the secret requests so far.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The grant, once a secret is granted.
    pub grant: Option<Grant>,
    /// Places of its files and variables, by what tells them apart.
    places: BTreeMap<String, usize>,
}

impl Collected {
    /// Returns the place of a variable, which it will have if it is granted next.
    pub fn place_of(&self, variable: &Granted) -> usize {
        let next = self.grant.as_ref().map_or(0, |grant| grant.variables.len());
        self.places.get(&variable.parts()).copied().unwrap_or(next)
    }

    /// Adds the files and variables of another grant, each once. A key makes one file, whichever secret it is of.
    pub fn add(&mut self, mut other: Grant) {
        let (files, variables) = (mem::take(&mut other.files), mem::take(&mut other.variables));
        let known = self.grant.get_or_insert(other);
        // No key starts with a line feed.
        let files = files.into_iter().map(|file| (["\n", &file.key].concat(), file, true));
        let variables = variables.into_iter().map(|variable| (variable.parts(), variable, false));
        for (parts, granted, is_file) in files.chain(variables) {
            let list = if is_file { &mut known.files } else { &mut known.variables };
            if let Entry::Vacant(free) = self.places.entry(parts) {
                free.insert(list.len());
                list.push(granted);
            }
        }
    }
}

/// Invalid arguments.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The first argument is another one.
    #[error("expected command `pull`")]
    Command,
    /// No such option.
    #[error("unknown option {0:?}")]
    Option(String),
    /// An option without its value.
    #[error("missing value of option {0}")]
    NoValue(&'static str),
    /// An option that is required.
    #[error("missing required option {0}")]
    Missing(&'static str),
    /// An option or a key that is given twice.
    #[error("option {0} is repeated")]
    Repeated(&'static str),
    /// An option with this value, truncated, which is not what is expected.
    #[error("invalid value {1:?} of option {0}: expected {2}")]
    Value(&'static str, String, &'static str),
}

const GATEWAY: &str = "--gateway";
const CA: &str = "--ca";
const SCOPE: &str = "--scope";
const PATIENCE: &str = "--patience";
const REFRESH: &str = "--refresh";
const FILE: &str = "--file";
const ENV: &str = "--env";
const GROUP: &str = "--group";
const VERSION: &str = "--version";
const OPTIONS: [&str; 9] = [GATEWAY, CA, SCOPE, PATIENCE, REFRESH, FILE, ENV, GROUP, VERSION];

impl Grant {
    /// Returns the scope in which keys are looked up first.
    pub fn scope(&self) -> Scope<'_> {
        Scope { organization: &self.organization, domain: &self.domain, project: &self.project }
    }

    /// Returns the variables with their names in the env file.
    pub fn named_variables(&self) -> impl Iterator<Item = (String, &Granted)> {
        self.variables.iter().enumerate().map(|(number, granted)| (variable_name(number), granted))
    }

    /// Returns the init container's arguments. [`Self::parse`] is the inverse.
    pub fn to_args(&self) -> Vec<String> {
        let mut options = vec![
            (GATEWAY, self.gateway.clone()),
            (CA, STANDARD.encode(&self.ca)),
            (SCOPE, [&*self.organization, &self.domain, &self.project].join("/")),
            (PATIENCE, format_duration(self.patience)),
        ];
        options.extend(self.refresh.map(|refresh| (REFRESH, format_duration(refresh))));
        let files = self.files.iter().map(|granted| (FILE, granted.key.clone(), granted));
        let named = self.named_variables().map(|(name, granted)| (ENV, [&name, "=", &granted.key].concat(), granted));
        for (option, key, granted) in files.chain(named) {
            options.push((option, key));
            let parts = [(GROUP, &granted.group), (VERSION, &granted.version)].into_iter();
            options.extend(parts.filter(|(_, value)| !value.is_empty()).map(|(option, value)| (option, value.clone())));
        }
        let options = options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
        [COMMAND.to_owned()].into_iter().chain(options).collect()
    }

    /// Parses the arguments of an init container.
    ///
    /// # Errors
    /// The arguments are not a grant.
    pub fn parse<S: AsRef<str>>(args: &[S]) -> Result<Self, Error> {
        let mut args = args.iter().map(AsRef::as_ref);
        if args.next() != Some(COMMAND) {
            return Err(Error::Command);
        }
        let (mut gateway, mut ca, mut scope, mut patience, mut refresh) = (None, None, None, None, None);
        let (mut files, mut variables) = (Vec::<Granted>::new(), Vec::<Granted>::new());
        let mut is_file = true;
        while let Some(name) = args.next() {
            let option = OPTIONS.into_iter().find(|known| *known == name);
            let option = option.ok_or_else(|| Error::Option(cut(name).to_owned()))?;
            let value = Value { option, text: args.next().ok_or(Error::NoValue(option))? };
            let duration = "a positive number and s, m or h";
            match option {
                GATEWAY => value.once(&mut gateway, that(is_address), "https://host or https://host:port")?,
                CA => value.once(&mut ca, parse_pem, "PEM in base64")?,
                SCOPE => value.once(&mut scope, parse_scope, "ORGANIZATION/DOMAIN/PROJECT")?,
                PATIENCE => value.once(&mut patience, parse_duration, duration)?,
                REFRESH => value.once(&mut refresh, parse_duration, duration)?,
                FILE => {
                    is_file = true;
                    files.push(Granted { key: value.read(that(is_file_name), "a file name")?, ..Granted::default() });
                }
                ENV => {
                    is_file = false;
                    let start = [&variable_name(variables.len()), "="].concat();
                    let key = |text: &str| text.strip_prefix(&start).and_then(that(is_key));
                    let key = value.read(key, "v0=KEY, v1=KEY and so on, in this order")?;
                    variables.push(Granted { key, ..Granted::default() });
                }
                _ => {
                    let last = if is_file { files.last_mut() } else { variables.last_mut() };
                    let granted = last.ok_or(Error::Missing(FILE))?;
                    let part = if option == GROUP { &mut granted.group } else { &mut granted.version };
                    if !part.is_empty() {
                        return Err(Error::Repeated(option));
                    }
                    *part = value.read(that(is_key), "a secret's key or version")?;
                }
            }
        }
        // Each key is one file, even with different secrets.
        let mut known = BTreeSet::new();
        if !files.iter().all(|file| known.insert(&file.key)) {
            return Err(Error::Repeated(FILE));
        }
        let mut known = BTreeSet::new();
        if !variables.iter().all(|variable| known.insert(variable)) {
            return Err(Error::Repeated(ENV));
        }
        let [organization, domain, project] = scope.ok_or(Error::Missing(SCOPE))?;
        Ok(Self {
            gateway: gateway.ok_or(Error::Missing(GATEWAY))?,
            ca: ca.ok_or(Error::Missing(CA))?,
            organization,
            domain,
            project,
            patience: patience.ok_or(Error::Missing(PATIENCE))?,
            refresh,
            files,
            variables,
        })
    }
}

/// The value of an option.
struct Value<'a> {
    option: &'static str,
    text: &'a str,
}

impl Value<'_> {
    fn read<T>(&self, parse: impl FnOnce(&str) -> Option<T>, expected: &'static str) -> Result<T, Error> {
        parse(self.text).ok_or_else(|| Error::Value(self.option, cut(self.text).to_owned(), expected))
    }

    fn once<T>(
        &self,
        place: &mut Option<T>,
        parse: impl FnOnce(&str) -> Option<T>,
        expected: &'static str,
    ) -> Result<(), Error> {
        match place.replace(self.read(parse, expected)?) {
            None => Ok(()),
            Some(_) => Err(Error::Repeated(self.option)),
        }
    }
}

fn that(is_valid: fn(&str) -> bool) -> impl Fn(&str) -> Option<String> {
    move |text| is_valid(text).then(|| text.to_owned())
}

fn parse_pem(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

fn parse_scope(text: &str) -> Option<[String; 3]> {
    let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
    parts.iter().all(|part| names::is_part(part)).then_some(parts)?.try_into().ok()
}

/// Returns the name of a variable in the env file. It is generated, because names of users need not be valid keys.
pub(crate) fn variable_name(number: usize) -> String {
    format!("v{number}")
}

/// Whether a key can be looked up, be printed on one line, and be an argument without expansion by Kubernetes.
pub fn is_key(key: &str) -> bool {
    !key.is_empty() && !key.contains(|c: char| c.is_control() || c == '$')
}

/// Whether a key can be a file name: Linux allows up to 255 bytes (`NAME_MAX`).
pub fn is_file_name(key: &str) -> bool {
    (1..=255).contains(&key.len())
        && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && !matches!(key, "." | "..")
}

/// Whether a text is the address of a gateway: `https://`, a host and an optional port, and nothing that Kubernetes
/// would expand in an argument.
pub fn is_address(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|host| {
        !host.is_empty()
            && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b':' | b'[' | b']'))
    })
}

/// Parses a duration of whole seconds, minutes or hours: `90s`, `2m`, `1h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let (number, unit) = units.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(*suffix)?, *unit)))?;
    // Without sign and leading zeros, so that a duration has one form for each unit.
    let is_plain = number.bytes().all(|c| c.is_ascii_digit()) && !number.starts_with('0');
    is_plain.then_some(number)?.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

/// Returns a duration in its largest unit, in the format of [`parse_duration`].
pub fn format_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: [&str; 9] = [
        "pull",
        "--gateway",
        "https://gw.flyte.svc:8444",
        "--ca",
        "cGVt",
        "--scope",
        "acme/development/snacks",
        "--patience",
        "2m",
    ];

    #[test]
    fn arguments_are_what_the_book_says() {
        let grant = Grant {
            gateway: "https://gw.flyte.svc:8444".to_owned(),
            ca: "pem".to_owned(),
            organization: "acme".to_owned(),
            domain: "development".to_owned(),
            project: "snacks".to_owned(),
            patience: Duration::from_secs(120),
            ..Grant::default()
        };
        let whole = Granted::whole;
        let property = Granted { group: "rds".to_owned(), version: "AWSPREVIOUS".to_owned(), ..whole("password") };
        let mut collected = Collected::default();
        for _ in 0..2 {
            for file in [whole("tls.crt"), Granted { version: "3".to_owned(), ..whole("ca.crt") }] {
                collected.add(Grant { files: vec![file], ..grant.clone() });
            }
            for (number, granted) in [whole("password"), whole("a=b"), property.clone()].into_iter().enumerate() {
                assert_eq!(collected.place_of(&granted), number);
                collected.add(Grant { variables: vec![granted], ..grant.clone() });
            }
        }
        let mut grant = collected.grant.unwrap();
        let more = [
            &["--file", "tls.crt", "--file", "ca.crt", "--version", "3", "--env", "v0=password", "--env", "v1=a=b"][..],
            &["--env", "v2=password", "--group", "rds", "--version", "AWSPREVIOUS"],
        ]
        .concat();
        assert_eq!(grant.to_args(), [&START[..], &more].concat());
        grant.refresh = Some(Duration::from_secs(90));
        assert_eq!(grant.to_args(), [&START[..], &["--refresh", "90s"], &more].concat());
    }

    #[test]
    fn other_arguments_are_rejected() {
        let value = |option, value: &str, expected| Error::Value(option, value.to_owned(), expected);
        let numbers = "v0=KEY, v1=KEY and so on, in this order";
        let (scope, duration) = ("ORGANIZATION/DOMAIN/PROJECT", "a positive number and s, m or h");
        let part = "a secret's key or version";
        let table: [(&[&str], Error); 20] = [
            (&["--file", "../x"], value(FILE, "../x", "a file name")),
            (&["--file", ".."], value(FILE, "..", "a file name")),
            (&["--file", "a", "--file", "a"], Error::Repeated(FILE)),
            (&["--env", "v0=a", "--env", "v1=a"], Error::Repeated(ENV)),
            (&["--file", "a", "--group", "g", "--file", "a"], Error::Repeated(FILE)),
            (&["--env", "v0=a", "--group", "g", "--env", "v1=a", "--group", "g"], Error::Repeated(ENV)),
            (&["--env", "v0=a", "--group", "g", "--group", "g"], Error::Repeated(GROUP)),
            (&["--group", "g"], Error::Missing(FILE)),
            (&["--file", "a", "--group", ""], value(GROUP, "", part)),
            (&["--file", "a", "--version", "$(A)"], value(VERSION, "$(A)", part)),
            (&["--env", "v1=a"], value(ENV, "v1=a", numbers)),
            (&["--env", "v0="], value(ENV, "v0=", numbers)),
            (&["--env", "v0=a\n"], value(ENV, "v0=a\n", numbers)),
            (&["--env", "v00=a"], value(ENV, "v00=a", numbers)),
            (&["--env"], Error::NoValue(ENV)),
            (&["--refresh", "0m"], value(REFRESH, "0m", duration)),
            (&["--refresh", "+1m"], value(REFRESH, "+1m", duration)),
            (&["--patience", "1m"], Error::Repeated(PATIENCE)),
            (&["--scope", "a//c"], value(SCOPE, "a//c", scope)),
            (&["-x"], Error::Option("-x".to_owned())),
        ];
        for (more, error) in table {
            assert_eq!(Grant::parse(&[&START[..], more].concat()), Err(error), "{more:?}");
        }
        let gateway = |text| Grant::parse(&["pull", "--gateway", text]).unwrap_err();
        for text in ["http://gw", "https://", "https://gw/x", "https://a@gw", "https://$(HOST)"] {
            assert_eq!(gateway(text), value(GATEWAY, text, "https://host or https://host:port"));
        }
        assert_eq!(Grant::parse::<&str>(&[]), Err(Error::Command));
        for (count, missing) in [(1, SCOPE), (7, PATIENCE)] {
            assert_eq!(Grant::parse(&START[..count]), Err(Error::Missing(missing)));
        }
    }
}
