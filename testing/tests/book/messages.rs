//! Messages in the source, compared with the pages of the book that document them.
//!
//! Every text in shipped code of the policy that reads like words counts as a message, so that no new one is missed.
//! [`NO_MESSAGES`] lists the exceptions, all of which must exist. Placeholders match anything: the text before, between
//! and after them must occur, in this order, in one code span of the page.

use anyhow::{Context, Result, bail};
use flyte_secrets_testing::repository::{files, read};
use proc_macro2::{TokenStream, TokenTree};
use pulldown_cmark::{Event, Options, Parser};
use syn::visit::{self, Visit};

/// A message that a user can see.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Message {
    /// Its source file, relative to the repository.
    pub file: String,
    /// The text in the source, with placeholders.
    pub text: String,
    /// The text around the placeholders, in order.
    pieces: Vec<String>,
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
    let mut messages = Vec::new();
    for file in files("src", ".rs")? {
        messages.extend(in_source(&file, &read(&file)?, Scope::AllTexts)?);
    }
    for &(file, beginning, what) in NO_MESSAGES {
        let before = messages.len();
        messages.retain(|it| it.file != file || !it.text.starts_with(beginning));
        if messages.len() == before {
            bail!("{file} has no text {beginning:?} ({what}); remove it from NO_MESSAGES");
        }
    }
    Ok(messages)
}

/// Returns the messages of `#[error]` in folders of sources.
///
/// # Errors
/// A source cannot be read.
pub fn errors_in(folders: &[&str]) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for folder in folders {
        for file in files(folder, ".rs")? {
            messages.extend(in_source(&file, &read(&file)?, Scope::Errors)?);
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
            let literal = go_string(quoted).with_context(|| format!("a fail in {file} has no text"))?;
            let pieces = literal.replace("%s", "%q").replace("%d", "%q");
            let pieces = pieces.split("%q").map(str::to_owned).collect();
            messages.push(Message { file: file.clone(), text: literal, pieces });
        }
    }
    Ok(messages)
}

/// Returns the content of the quoted string at the start of a text.
fn go_string(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut characters = text.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some(plain),
            '\\' => plain.push(characters.next()?),
            other => plain.push(other),
        }
    }
}

/// Returns the messages that a page does not document.
pub fn missing<'m>(messages: &'m [Message], page: &str) -> Vec<&'m Message> {
    let events = Parser::new_ext(page, Options::ENABLE_TABLES);
    let codes: Vec<String> = events
        .filter_map(|event| match event {
            Event::Code(code) => Some(code.split_whitespace().collect::<Vec<_>>().join(" ")),
            _ => None,
        })
        .collect();
    messages.iter().filter(|message| !codes.iter().any(|code| message.is_in(code))).collect()
}

impl Message {
    fn new(file: &str, text: &str, formatted: bool) -> Self {
        let pieces = if formatted { pieces(text) } else { vec![text.to_owned()] };
        Self { file: file.to_owned(), text: text.to_owned(), pieces }
    }

    fn is_in(&self, code: &str) -> bool {
        let mut rest = code;
        self.pieces.iter().map(|piece| piece.trim()).all(|piece| match rest.split_once(piece) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }

    /// Whether a word remains without the placeholders.
    fn has_words(&self) -> bool {
        self.pieces.iter().any(|piece| piece.chars().any(char::is_alphabetic))
    }
}

/// Returns the text around the placeholders of a format string.
fn pieces(format: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut characters = format.chars().peekable();
    let mut depth = 0_usize;
    while let Some(character) = characters.next() {
        let doubled = depth == 0 && matches!(character, '{' | '}') && characters.peek() == Some(&character);
        match character {
            _ if doubled => {
                characters.next();
                pieces.last_mut().map(|piece| piece.push(character)).unwrap_or_default();
            }
            '{' => {
                depth += 1;
                pieces.push(String::new());
            }
            '}' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ => pieces.last_mut().map(|piece| piece.push(character)).unwrap_or_default(),
        }
    }
    pieces
}

/// Whether a text has two consecutive words.
fn reads_like_words(text: &str) -> bool {
    let word = |text: &&str| {
        text.len() > 1 && text.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '-' | ',' | ':' | ';'))
    };
    let words: Vec<bool> = text.split_whitespace().map(|it| word(&it)).collect();
    words.windows(2).any(|pair| pair == [true, true])
}

/// Which texts of a source are messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scope {
    /// The texts of `#[error]`.
    Errors,
    /// Also all others that read like words.
    AllTexts,
}

fn in_source(file: &str, source: &str, scope: Scope) -> Result<Vec<Message>> {
    let parsed = syn::parse_file(source).with_context(|| format!("{file} is not Rust"))?;
    let mut finder = Finder { file, scope, found: Vec::new() };
    finder.visit_file(&parsed);
    Ok(finder.found)
}

struct Finder<'a> {
    file: &'a str,
    scope: Scope,
    found: Vec<Message>,
}

impl Finder<'_> {
    /// Collects the literals in the arguments of a macro as format strings.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut of_doc = false;
        for token in tokens {
            let is_doc = matches!(&token, TokenTree::Ident(name) if name == "doc");
            let is_equals = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == '=');
            match token {
                // Doc comments are `doc = "…"` in a macro.
                TokenTree::Literal(_) if of_doc => {}
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.text(&text.value(), true);
                    }
                }
                _ => {}
            }
            of_doc = is_doc || of_doc && is_equals;
        }
    }

    fn text(&mut self, text: &str, formatted: bool) {
        if self.scope == Scope::AllTexts && reads_like_words(text) {
            self.found.push(Message::new(self.file, text, formatted));
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if !attribute.path().is_ident("error") {
            return;
        }
        let Ok(list) = attribute.meta.require_list() else { return };
        let Some(TokenTree::Literal(literal)) = list.tokens.clone().into_iter().next() else { return };
        if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
            let message = Message::new(self.file, &text.value(), true);
            self.found.extend(Some(message).filter(Message::has_words));
        }
        // Arguments can contain words, too.
        let arguments: TokenStream = list.tokens.clone().into_iter().skip(1).collect();
        self.tokens(arguments);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.tokens(invoked.tokens.clone());
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.text(&literal.value(), false);
    }
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
    fn finder_returns_messages_only() {
        let found = in_source("x.rs", SOURCE, Scope::AllTexts).expect("Rust");
        let texts: Vec<&str> = found.iter().map(|it| it.text.as_str()).collect();
        let expected =
            ["the {0:?} is {gone}; look in {{braces}}", "needs {0}", "another name wanted", "{n} things are left"];
        assert_eq!(texts, expected);
        let errors = in_source("x.rs", SOURCE, Scope::Errors).expect("Rust");
        assert_eq!(errors, &found[..2]);
    }

    #[test]
    fn missing_returns_undocumented_messages() {
        let found = in_source("x.rs", SOURCE, Scope::AllTexts).expect("Rust");
        let page = "| `the \"<name>\" is <reason>; look in {braces}` |\n\n`needs <field>`, `another name wanted`";
        let texts: Vec<&str> = missing(&found, page).iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["{n} things are left"]);
        let plain = "the \"x\" is gone; look in {braces}, needs x, another name wanted, 5 things are left";
        assert_eq!(missing(&found, plain).len(), 4, "only code counts");
    }

    #[test]
    fn pieces_omits_placeholders() {
        assert_eq!(pieces("{a} is {b:?}; {{ c }}{}"), ["", " is ", "; { c }", ""]);
        assert_eq!(go_string("\"a \\\"b\\\" c\" .x"), Some("a \"b\" c".to_owned()));
    }
}
