//! What a wasm's bytes are: by section, and its functions by where they come from.
//!
//! wasm-opt puts functions into one another, so sections are those of the shipped wasm, and functions those of the wasm
//! before that step.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

/// The account of a wasm that has names.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Bytes by section, without what is only for people: names and debug information.
    sections: BTreeMap<String, usize>,
    /// Bytes of functions, and how many there are: by crate, and our own by room.
    functions: BTreeMap<String, (usize, usize)>,
}

/// Reads the account of a wasm.
pub fn account(path: &Path) -> Result<Account> {
    let wasm = std::fs::read(path)?;
    let mut account = Account::default();
    let (mut imported, mut bodies, mut names) = (0, Vec::new(), BTreeMap::new());
    for payload in Parser::new(0).parse_all(&wasm) {
        match payload? {
            Payload::ImportSection(imports) => {
                account.add("imports", imports.range().len());
                imported = imports.into_imports().filter(is_function).count();
            }
            Payload::CodeSectionStart { range, .. } => account.add("code", range.len()),
            Payload::CodeSectionEntry(body) => bodies.push(body.range().len()),
            Payload::DataSection(data) => account.add("data", data.range().len()),
            Payload::TypeSection(types) => account.add("types", types.range().len()),
            Payload::FunctionSection(functions) => account.add("functions", functions.range().len()),
            Payload::ElementSection(elements) => account.add("elements", elements.range().len()),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(section) = section.as_known() {
                    names = read_names(section)?;
                }
            }
            Payload::Version { range, .. } => account.add("other", range.len()),
            other => account.add("other", other.as_section().map_or(0, |(_, range)| range.len())),
        }
    }
    for (at, size) in bodies.into_iter().enumerate() {
        let name = names.get(&(imported + at)).map_or("?", String::as_str);
        let (bytes, functions) = account.functions.entry(origin(name)).or_default();
        *bytes += size;
        *functions += 1;
    }
    Ok(account)
}

fn is_function(import: &wasmparser::Result<wasmparser::Import>) -> bool {
    import.as_ref().is_ok_and(|import| matches!(import.ty, wasmparser::TypeRef::Func(_)))
}

fn read_names(section: NameSectionReader) -> Result<BTreeMap<usize, String>> {
    let mut names = BTreeMap::new();
    for subsection in section {
        if let Name::Function(functions) = subsection? {
            for naming in functions {
                let naming = naming?;
                names.insert(naming.index as usize, format!("{:#}", rustc_demangle::demangle(naming.name)));
            }
        }
    }
    Ok(names)
}

/// The crate of a function, or the room if it is ours; what has no path is C's.
fn origin(name: &str) -> String {
    const OURS: &str = "flyte_secrets_policy::";
    if let Some((_, path)) = name.split_once(OURS) {
        let room: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        return format!("{OURS}{room}");
    }
    let Some((head, _)) = name.split_once("::") else { return "libc".to_owned() };
    match head.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next() {
        // `<str>::len` and the like.
        None | Some("") => "core".to_owned(),
        Some(name) => name.to_owned(),
    }
}

impl Account {
    fn add(&mut self, section: &str, bytes: usize) {
        *self.sections.entry(section.to_owned()).or_default() += bytes;
    }

    /// The sections, largest first.
    pub fn sections(&self) -> String {
        let mut sections: Vec<_> = self.sections.iter().collect();
        sections.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
        let mut table = format!("{:>8}  section\n", "bytes");
        for (name, bytes) in sections {
            let _ = writeln!(table, "{bytes:>8}  {name}");
        }
        table
    }

    /// Where the functions come from, largest first.
    pub fn functions(&self) -> String {
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
        let mut table = format!("{:>8} {:>6}  functions of\n", "bytes", "count");
        for (name, (bytes, count)) in functions {
            let _ = writeln!(table, "{bytes:>8} {count:>6}  {name}");
        }
        table
    }
}
