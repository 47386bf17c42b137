//! Errors of settings, with their paths.

/// An error of settings.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The settings are not JSON.
    #[error("not JSON at line {line}, column {column}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The settings are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A value has another type than expected.
    #[error("`{path}`: expected {expected}")]
    Type {
        /// Keys from the top, joined by dots, and numbers of elements in brackets.
        path: String,
        /// The expected type.
        expected: String,
    },
    /// An unknown field.
    #[error("unknown field `{path}`{}", .nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default())]
    UnknownField {
        /// Path of the field.
        path: String,
        /// The nearest known name.
        nearest: Option<String>,
    },
    /// A value is invalid.
    #[error("`{path}`: {problem}")]
    Value {
        /// Path of the field.
        path: String,
        /// The problem, and what to do.
        problem: String,
    },
}

impl Error {
    /// Returns the path of the invalid value; empty for the whole.
    pub fn path(&self) -> &str {
        match self {
            Self::Json { .. } | Self::NotUtf8 => "",
            Self::Type { path, .. } | Self::UnknownField { path, .. } | Self::Value { path, .. } => path,
        }
    }

    pub(super) fn value(path: &str, problem: String) -> Self {
        Self::Value { path: path.to_owned(), problem }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

impl From<serde_path_to_error::Error<serde_json::Error>> for Error {
    /// Parses serde's message, which is the only place with the expected names.
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = match error.path().to_string() {
            root if root == "." => "settings".to_owned(),
            path => path,
        };
        let message = error.inner().to_string();
        let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
        let mut names = message.split('`').skip(1).step_by(2);
        let found = names.next().unwrap_or_default();
        if message.starts_with("unknown field") {
            return Self::UnknownField { nearest: nearest(found, names).map(str::to_owned), path };
        }
        if message.starts_with("unknown variant") {
            let meant = nearest(found, names.clone()).map(|name| format!("; did you mean `{name}`?"));
            let known = names.collect::<Vec<_>>().join(", ");
            return Self::Value {
                path,
                problem: format!("unknown value {found:?}, expected one of {known}{}", meant.unwrap_or_default()),
            };
        }
        match message.split_once(", expected ") {
            Some((_, expected)) => Self::Type { path, expected: in_yaml(expected).to_owned() },
            None => Self::Value { path, problem: message.to_owned() },
        }
    }
}

/// Returns serde's name of a type in terms of YAML.
fn in_yaml(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") => "a map",
        _ => expected,
    }
}

/// Returns the known name that is nearest to `found`, case-insensitively, if one is near enough.
fn nearest<'n>(found: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // No name is that long, and comparing takes time.
    if found.len() > 64 {
        return None;
    }
    let found = found.to_ascii_lowercase();
    let near =
        known.map(|name| (strsim::levenshtein(&found, &name.to_ascii_lowercase()), name)).min_by_key(|near| near.0);
    near.filter(|(distance, name)| distance * 3 <= name.len() + 1).map(|(_, name)| name)
}
