//! Messages in the source, compared with the pages of the book that document them.
//!
//! Every text in shipped code of the policy that reads like words counts as a message, so that no new one is missed.
//! [`NO_MESSAGES`] lists the exceptions, all of which must exist. Placeholders match anything: the text before, between
//! and after them must occur, in this order, in one code span of the page.

use anyhow::{Context, Result, anyhow, ensure};
use flyte_secrets_testing::repository::{files, read};
use proc_macro2::{TokenStream, TokenTree};
use pulldown_cmark::{Event, Options, Parser};

/// A message that a user can see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its source file, relative to the repository.
    pub file: String,
    /// The text in the source, with placeholders.
    pub text: String,
    /// The text around the placeholders, in order.
    pieces: Vec<String>,
    /// Whether it is of `#[error]`.
    of_error: bool,
}

/// Texts that read like words and are not messages: the file, the beginning of the text, and what it is.
const NO_MESSAGES: &[(&str, &str, &str)] = &[
    ("src/pod/document.rs", "an object", "what serde expects, which is not shown"),
    ("src/managers/embedded.rs", "printf '%s'", "a script"),
    ("src/managers/sidecar.rs", "export HOME=", "a script"),
    ("src/managers/vault.rs", "{{- with secret ", "a template"),
    ("src/managers/vault.rs", "agent-inject-status: injected", "part of an annotation"),
    ("src/settings/check.rs", "-----BEGIN CERTIFICATE-----", "what PEM starts with"),
    ("src/settings/error.rs", "unknown variant", "what serde says"),
    ("src/names/mod.rs", "{0:?} is not a valid secret name", "what decoders say, which the policy does not call"),
    ("src/store/host_error.rs", "Cannot find {", "what the host says of an object"),
    ("src/store/host_error.rs", "Cannot find resource", "what the host says of a kind"),
    ("src/store/host_error.rs", "Policy has not been", "what the host says"),
    ("src/store/host_error.rs", "has not been granted", "what the host says"),
    ("src/store/host_error.rs", "cannot get resource", "what the API server says"),
    ("src/store/host_error.rs", "timed out", "what the host says"),
    ("src/store/host_error.rs", "deadline has", "what the host says"),
    ("src/store/host_error.rs", "deadline exceeded", "what the host says"),
];

/// Returns the messages of the policy: its errors, and all other texts of `src` outside of tests.
///
/// # Errors
/// A source cannot be read, or an entry of [`NO_MESSAGES`] does not exist.
pub fn of_the_policy() -> Result<Vec<Message>> {
    let mut messages = in_folders(&["src"])?;
    for &(file, beginning, what) in NO_MESSAGES {
        let before = messages.len();
        messages.retain(|it| it.file != file || !it.text.starts_with(beginning));
        ensure!(messages.len() < before, "{file} has no text {beginning:?} ({what}); remove it from NO_MESSAGES");
    }
    Ok(messages)
}

/// Returns the messages of `#[error]` in folders of sources.
///
/// # Errors
/// A source cannot be read.
pub fn errors_in(folders: &[&str]) -> Result<Vec<Message>> {
    let mut messages = in_folders(folders)?;
    messages.retain(|it| it.of_error);
    Ok(messages)
}

fn in_folders(folders: &[&str]) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for folder in folders {
        for file in files(folder, ".rs")? {
            messages.extend(in_source(&file, &read(&file)?)?);
        }
    }
    Ok(messages)
}

/// Returns the messages of the chart: the texts of `fail` and, in the template of checks, those that it prints.
///
/// # Errors
/// A template cannot be read, or has a `fail` without a literal text.
pub fn of_the_chart() -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    // Templates have several extensions, and their folder has no other files.
    for file in files("deploy/chart/templates", "")? {
        let text = read(&file)?;
        let printed: &[&str] = if file.ends_with("_checks.tpl") { &["{{- print ", "{{- printf "] } else { &[] };
        for call in ["{{- fail "].iter().chain(printed).flat_map(|start| text.split(start).skip(1)) {
            let quoted = call.strip_prefix("(printf ").unwrap_or(call);
            // Strings of Go are strings of JSON.
            let literal = serde_json::Deserializer::from_str(quoted).into_iter::<String>().next();
            let text = literal.and_then(Result::ok).with_context(|| format!("a fail in {file} has no text"))?;
            let pieces = text.replace("%s", "%q").replace("%d", "%q").split("%q").map(str::to_owned).collect();
            messages.push(Message { file: file.clone(), text, pieces, of_error: false });
        }
    }
    Ok(messages)
}

/// Returns the messages that a page does not document.
pub fn missing<'m>(messages: &'m [Message], page: &str) -> Vec<&'m Message> {
    let events = Parser::new_ext(page, Options::ENABLE_TABLES);
    let codes = events.filter_map(|event| match event {
        Event::Code(code) => Some(code.split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    let codes: Vec<String> = codes.collect();
    let is_in = |message: &Message, code: &str| {
        let after = |rest, piece: &String| str::split_once(rest, piece.trim()).map(|(_, after)| after);
        message.pieces.iter().try_fold(code, after).is_some()
    };
    messages.iter().filter(|message| !codes.iter().any(|code| is_in(message, code))).collect()
}

/// Returns the text around the placeholders of a format string.
fn pieces(format: &str) -> Vec<String> {
    let marked = format.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let plain = marked.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after));
    plain.map(|piece| piece.replace('\u{1}', "{").replace('\u{2}', "}")).collect()
}

/// Whether a text has two consecutive words.
fn reads_like_words(text: &str) -> bool {
    let word = |text: &str| {
        text.len() > 1 && text.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '-' | ',' | ':' | ';'))
    };
    let words: Vec<bool> = text.split_whitespace().map(word).collect();
    words.windows(2).any(|pair| pair == [true, true])
}

/// Returns the messages of a source: texts of `#[error]` with a word, and all others that read like words.
fn in_source(file: &str, source: &str) -> Result<Vec<Message>> {
    let tokens: TokenStream = source.parse().map_err(|error| anyhow!("{file} is not Rust: {error}"))?;
    let mut messages = Vec::new();
    collect(tokens, false, &mut |text: String, formatted: bool, of_error: bool| {
        let pieces = if formatted { pieces(&text) } else { vec![text.clone()] };
        let has_words = pieces.iter().any(|piece| piece.chars().any(char::is_alphabetic));
        if of_error && has_words || reads_like_words(&text) {
            messages.push(Message { file: file.to_owned(), text, pieces, of_error });
        }
    });
    Ok(messages)
}

/// Calls `found` with each string outside of tests and of attributes other than `error`: its value, whether it is in a
/// macro and thus a format string, and whether it is the message of an error.
fn collect(tokens: TokenStream, formatted: bool, found: &mut impl FnMut(String, bool, bool)) {
    let mut tokens = tokens.into_iter();
    let mut in_macro = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(sign) if sign.as_char() == '#' => {
                let Some(attribute) = tokens.find_map(group) else { continue };
                let name = attribute.clone().into_iter().next().map(|name| name.to_string()).unwrap_or_default();
                let mut arguments = attribute.clone().into_iter().find_map(group).unwrap_or_default().into_iter();
                if name == "error" {
                    arguments.next().and_then(string).into_iter().for_each(|text| found(text, true, true));
                    collect(arguments.collect(), true, found);
                } else if name == "cfg" && arguments.map(|it| it.to_string()).eq(["test"]) {
                    tokens.find(|it| matches!(it, TokenTree::Group(_)) || it.to_string() == ";");
                }
            }
            TokenTree::Punct(sign) => in_macro = sign.as_char() == '!',
            TokenTree::Group(group) => collect(group.stream(), formatted || std::mem::take(&mut in_macro), found),
            literal => string(literal).into_iter().for_each(|text| found(text, formatted, false)),
        }
    }
}

fn group(token: TokenTree) -> Option<TokenStream> {
    match token {
        TokenTree::Group(group) => Some(group.stream()),
        _ => None,
    }
}

/// Returns the value of a string.
fn string(token: TokenTree) -> Option<String> {
    syn::parse2::<syn::LitStr>(token.into()).ok().map(|text| text.value())
}

mod tests {
    use super::*;

    const SOURCE: &str = r#"
        //! Nothing to see here.
        #[derive(thiserror::Error)]
        enum Error {
            /// No such thing.
            #[error("the {0:?} is {gone}; look in {{braces}}")]
            Gone(String),
            #[error(transparent)]
            Other(#[from] Deeper),
            #[error("{0}: {1}")]
            Both(A, B),
            #[error("needs {0}")]
            Needs(&'static str),
        }
        fn f(n: usize) -> String {
            g("another name wanted", "word", 1);
            format!("{n} things are left")
        }
        #[cfg(test)]
        mod tests { const T: &str = "not for users"; }
    "#;

    #[test]
    fn messages_are_found_in_sources_and_pages() {
        let found = in_source("x.rs", SOURCE).expect("Rust");
        let texts: Vec<(&str, bool)> = found.iter().map(|it| (it.text.as_str(), it.of_error)).collect();
        let errors = [("the {0:?} is {gone}; look in {{braces}}", true), ("needs {0}", true)];
        let others = [("another name wanted", false), ("{n} things are left", false)];
        assert_eq!(texts, [errors, others].concat());
        let page = "| `the \"<name>\" is <reason>; look in {braces}` |\n\n`needs <field>`, `another name wanted`";
        let undocumented: Vec<&str> = missing(&found, page).iter().map(|it| it.text.as_str()).collect();
        assert_eq!(undocumented, ["{n} things are left"]);
        let plain = "the \"x\" is gone; look in {braces}, needs x, another name wanted, 5 things are left";
        assert_eq!(missing(&found, plain).len(), 4, "only code counts");
        assert_eq!(pieces("{a} is {b:?}; {{ c }}{}"), ["", " is ", "; { c }", ""]);
    }
}
