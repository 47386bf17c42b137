//! Errors of settings, with their paths.

/// An error of settings.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The settings are not JSON: the line and the column, from 1.
    #[error("not JSON at line {0}, column {1}")]
    Json(usize, usize),
    /// The settings are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// An unknown field.
    #[error("unknown field `{path}`{hint}")]
    UnknownField {
        /// Keys from the top, joined by dots, and numbers of elements in brackets.
        path: String,
        /// A question for the nearest known name, if one is near.
        hint: String,
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
            Self::Json(..) | Self::NotUtf8 => "",
            Self::UnknownField { path, .. } | Self::Value { path, .. } => path,
        }
    }

    pub(super) fn value(path: &str, problem: impl Into<String>) -> Self {
        Self::Value { path: path.to_owned(), problem: problem.into() }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.line(), error.column())
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
        let hint = |separator| match nearest(found, names.clone()) {
            Some(name) => format!("{separator} did you mean `{name}`?"),
            None => String::new(),
        };
        let problem = if message.starts_with("unknown field") {
            return Self::UnknownField { hint: hint(','), path };
        } else if message.starts_with("unknown variant") {
            let known = names.clone().collect::<Vec<_>>().join(", ");
            format!("unknown value {found:?}, expected one of {known}{}", hint(';'))
        } else if let Some((_, expected)) = message.split_once(", expected ") {
            // In terms of YAML.
            let expected = match expected {
                "a sequence" => "a list",
                _ if expected.starts_with("struct ") => "a map",
                _ => expected,
            };
            format!("expected {expected}")
        } else {
            message.to_owned()
        };
        Self::Value { path, problem }
    }
}

/// Returns the known name that is nearest to `found`, case-insensitively, if one is near enough.
fn nearest<'n>(found: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // No name is that long, and comparing takes time.
    if found.len() > 64 {
        return None;
    }
    let found = found.to_ascii_lowercase();
    let distance = |name: &&str| strsim::levenshtein(&found, &name.to_ascii_lowercase());
    known.min_by_key(distance).filter(|name| distance(name) * 3 <= name.len() + 1)
}
