//! What the code can say, and whether the chapter on troubleshooting has it.
//!
//! Every text in shipped code that reads like words is taken for a message, so that a new one cannot be forgotten; what is
//! none is named in [`NO_MESSAGES`], and must be there. A placeholder stands for anything: what stands before, between
//! and after them must be found, in this order, in one piece of code of the chapter.

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use pulldown_cmark::{Event, Options, Parser};
use syn::visit::{self, Visit};

use crate::repository::{files, read};

/// The chapter.
pub const CHAPTER: &str = "docs/src/troubleshooting.md";

/// A text that a user can see.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Message {
    /// The file that it stands in, from the repository's root.
    pub file: String,
    /// As it is written there.
    pub text: String,
    /// What of it never differs, in order.
    pieces: Vec<String>,
}

/// Texts in shipped code that read like words and are no messages: a file, how the text begins, and what it is.
const NO_MESSAGES: &[(&str, &str, &str)] = &[
    ("src/pod/document.rs", "an object", "what serde expects, which is not shown"),
    ("src/managers/azure.rs", "export HOME=", "a script"),
    ("src/managers/embedded.rs", "printf '%s'", "a script"),
    ("src/managers/gcp.rs", "export HOME=", "a script"),
    ("src/managers/vault.rs", "{{- with secret ", "a template"),
    ("src/managers/vault.rs", "agent-inject-status: injected", "part of an annotation"),
    ("src/settings/check.rs", "-----BEGIN CERTIFICATE-----", "what PEM starts with"),
    ("src/settings/error.rs", "unknown variant", "what serde says"),
    ("src/names/mod.rs", "{0:?} is not a valid secret name", "what decoders say, which the policy does not call"),
    ("src/store/host_error.rs", "it does not exist", "what becomes `not found`"),
    ("src/store/host_error.rs", "Cannot find {", "what the host says of an object"),
    ("src/store/host_error.rs", "Cannot find resource", "what the host says of a kind"),
    ("src/store/host_error.rs", "Policy has not been", "what the host says"),
    ("src/store/host_error.rs", "has not been granted", "what the host says"),
    ("src/store/host_error.rs", "cannot get resource", "what the API server says"),
    ("src/store/host_error.rs", "timed out", "what the host says"),
    ("src/store/host_error.rs", "deadline has", "what the host says"),
    ("src/store/host_error.rs", "deadline exceeded", "what the host says"),
];

/// What the policy can say: its errors, and all other texts of `src` but those of tests.
///
/// # Errors
/// A source cannot be read, or an entry of [`NO_MESSAGES`] is there no more.
pub fn of_the_policy() -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for file in files("src", ".rs")? {
        messages.extend(in_source(&file, &read(&file)?, Scope::AllTexts)?);
    }
    for &(file, beginning, what) in NO_MESSAGES {
        let before = messages.len();
        messages.retain(|it| it.file != file || !it.text.starts_with(beginning));
        if messages.len() == before {
            bail!("{file} has no text {beginning:?}, which is no message but {what}; take it off the list");
        }
    }
    Ok(messages)
}

/// What the secret gateway can say: its errors.
///
/// # Errors
/// A source cannot be read.
pub fn of_the_gateway() -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for file in files("gateway/src", ".rs")? {
        messages.extend(in_source(&file, &read(&file)?, Scope::Errors)?);
    }
    Ok(messages)
}

/// What the chart can say: the texts of `fail`, and in the template of checks those that it prints.
///
/// # Errors
/// A template cannot be read, or has a `fail` without a text.
pub fn of_the_chart() -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    // Templates have several endings, and their folder holds nothing else.
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

/// A string in quotes that a text starts with.
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

/// Those messages that are not in a chapter.
pub fn missing<'m>(messages: &'m [Message], chapter: &str) -> Vec<&'m Message> {
    let events = Parser::new_ext(chapter, Options::ENABLE_TABLES);
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

    /// Whether there is a word in it that is always there.
    fn has_words(&self) -> bool {
        self.pieces.iter().any(|piece| piece.chars().any(char::is_alphabetic))
    }
}

/// What stands around the placeholders of a format string.
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

/// Two words or more, one after the other.
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
    /// Those of `#[error]`.
    Errors,
    /// And all others that read like words.
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
    /// The literals in the arguments of a macro, which are formatted.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut of_doc = false;
        for token in tokens {
            let is_doc = matches!(&token, TokenTree::Ident(name) if name == "doc");
            let is_equals = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == '=');
            match token {
                // A comment reaches a macro as `doc = "…"`.
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
        // What fills its placeholders may have words too.
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

#[cfg(test)]
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
    fn messages_are_found_and_nothing_else_is() {
        let found = in_source("x.rs", SOURCE, Scope::AllTexts).expect("Rust");
        let texts: Vec<&str> = found.iter().map(|it| it.text.as_str()).collect();
        let wanted =
            ["the {0:?} is {gone}; look in {{braces}}", "needs {0}", "another name wanted", "{n} things are left"];
        assert_eq!(texts, wanted);
        let errors = in_source("x.rs", SOURCE, Scope::Errors).expect("Rust");
        assert_eq!(errors, &found[..2]);
    }

    #[test]
    fn a_message_that_is_missing_is_named() {
        let found = in_source("x.rs", SOURCE, Scope::AllTexts).expect("Rust");
        let chapter = "| `the \"<name>\" is <reason>; look in {braces}` |\n\n`needs <field>`, `another name wanted`";
        let texts: Vec<&str> = missing(&found, chapter).iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["{n} things are left"]);
        let plain = "the \"x\" is gone; look in {braces}, needs x, another name wanted, 5 things are left";
        assert_eq!(missing(&found, plain).len(), 4, "only code counts");
    }

    #[test]
    fn placeholders_are_left_out() {
        assert_eq!(pieces("{a} is {b:?}; {{ c }}{}"), ["", " is ", "; { c }", ""]);
        assert_eq!(go_string("\"a \\\"b\\\" c\" .x"), Some("a \"b\" c".to_owned()));
    }
}
