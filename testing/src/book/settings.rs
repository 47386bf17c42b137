//! The reference of the settings: keys, types and comments as they stand in `src/settings/mod.rs`, defaults as
//! `Settings::default()` has them.
//!
//! The way from a key to its field is read out of the code that reads the key, so that there is no second list of them.
//! What cannot be read so is an error, and not left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use flyte_secrets_policy::settings::Settings;
use serde_json::{Value, json};
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprClosure, ExprMethodCall, Lit, Pat};

use crate::repository::read;

/// The chapter.
pub const CHAPTER: &str = "docs/src/settings.md";

const SOURCE: &str = "src/settings/mod.rs";

/// What may stand behind a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A Kubernetes quantity.
    Amount,
    /// True or false.
    Flag,
    /// One of these names, in any case.
    Name(Vec<String>),
    /// A list.
    List(Box<Kind>),
    /// Keys of any name.
    Map(Box<Kind>),
    /// Anything; it is ignored.
    Anything,
}

impl Kind {
    /// A value that is of this type.
    pub fn sample(&self) -> Value {
        match self {
            // The one text that is read and not only kept is a template.
            Self::Text => json!("{{ project }}"),
            Self::Amount => json!("1"),
            Self::Flag => json!(true),
            Self::Name(names) => json!(names.first()),
            Self::List(item) => json!([item.sample()]),
            Self::Map(item) => json!({ "cpu": item.sample() }),
            Self::Anything => json!({ "a": [1, null, "x"] }),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Amount => "quantity".to_owned(),
            Self::Flag => "`true`, `false`".to_owned(),
            Self::Name(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            Self::List(item) => format!("list of {}", item.plural()),
            Self::Map(item) => format!("map of {}", item.plural()),
            Self::Anything => "anything".to_owned(),
        }
    }

    fn plural(&self) -> String {
        match self {
            Self::Text => "texts".to_owned(),
            Self::Amount => "quantities".to_owned(),
            other => other.words(),
        }
    }
}

/// A key that holds a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Key {
    /// From the top.
    pub path: Vec<String>,
    /// What may stand there.
    pub kind: Kind,
    /// What counts without it, in JSON; `null` if nothing does.
    pub default: Value,
    /// The comment of its field.
    pub meaning: String,
}

/// What the code says.
#[derive(Debug)]
pub struct Reference {
    /// All keys with values, in the order of the code.
    pub keys: Vec<Key>,
    /// For each key that holds others: the comment of its field.
    pub sections: BTreeMap<Vec<String>, String>,
    /// The lists of known keys, as they stand in the code.
    pub known: Vec<Vec<String>>,
}

/// Reads the settings' code.
///
/// # Errors
/// It is not written as it was when this was.
pub fn reference() -> Result<Reference> {
    let file = syn::parse_file(&read(SOURCE)?)?;
    let mut code = Code::default();
    code.visit_file(&file);
    // What Debug writes is an expression, but for the name that Rust keeps for itself.
    let defaults = format!("{:?}", Settings::default()).replace(" type: ", " r#type: ");
    code.defaults = Some(syn::parse_str(&defaults).context("what Debug says of the defaults is no expression")?);
    let mut reference = Reference { keys: Vec::new(), sections: BTreeMap::new(), known: Vec::new() };
    let top = Place { owner: "Settings".to_owned(), path: Vec::new(), fields: Vec::new() };
    code.read_function("Settings", &top, &mut reference)?;
    reference.known = code.lists()?;
    Ok(reference)
}

/// Where the walk is: in a type's `read`, at a path of keys that is a path of fields.
struct Place {
    owner: String,
    path: Vec<String>,
    fields: Vec<String>,
}

/// The parts of the source that are looked at.
#[derive(Default)]
struct Code {
    structs: BTreeMap<String, syn::ItemStruct>,
    /// `read` of each type, and functions that stand alone.
    functions: BTreeMap<String, syn::Block>,
    /// Lists of known keys that have a name.
    lists: BTreeMap<String, Vec<String>>,
    /// Tables of names: the names and what they stand for.
    names: BTreeMap<String, Vec<(String, String)>>,
    /// All calls of `section`.
    sections: Vec<ExprMethodCall>,
    defaults: Option<Expr>,
}

impl<'ast> Visit<'ast> for Code {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.structs.insert(item.ident.to_string(), item.clone());
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let owner = type_name(&item.self_ty);
        for inner in &item.items {
            match inner {
                syn::ImplItem::Fn(function) if function.sig.ident == "read" => {
                    self.functions.insert(owner.clone(), function.block.clone());
                }
                syn::ImplItem::Const(constant) => self.constant(&owner, &constant.expr),
                _ => {}
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.functions.insert(item.sig.ident.to_string(), (*item.block).clone());
        visit::visit_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(&item.ident.to_string(), &item.expr);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "section" {
            self.sections.push(call.clone());
        }
        visit::visit_expr_method_call(self, call);
    }
}

impl Code {
    /// A constant: a list of keys, or a table of names.
    fn constant(&mut self, name: &str, value: &Expr) {
        if let Some(keys) = strings(value) {
            self.lists.insert(name.to_owned(), keys);
        }
        let Expr::Array(array) = unreferenced(value) else { return };
        let row = |row: &Expr| match row {
            Expr::Tuple(pair) => match (pair.elems.first(), pair.elems.last()) {
                (Some(Expr::Lit(name)), Some(Expr::Path(variant))) => Some((string(&name.lit)?, last(&variant.path))),
                _ => None,
            },
            _ => None,
        };
        let rows: Vec<_> = array.elems.iter().filter_map(row).collect();
        if !rows.is_empty() {
            self.names.insert(name.to_owned(), rows);
        }
    }

    fn keys(&self, list: &Expr) -> Result<Vec<String>> {
        let named = || match list {
            Expr::Path(path) => self.lists.get(&last(&path.path)).cloned(),
            _ => None,
        };
        strings(list).or_else(named).context("a list of keys is neither written out nor known by name")
    }

    fn lists(&self) -> Result<Vec<Vec<String>>> {
        self.sections.iter().map(|call| self.keys(call.args.first().context("section wants keys")?)).collect()
    }

    /// The keys that a function reads.
    fn read_function(&self, name: &str, place: &Place, into: &mut Reference) -> Result<()> {
        let body = self.functions.get(name).with_context(|| format!("there is no function {name}"))?;
        let mut found = Body::default();
        found.visit_block(body);
        let section = found.section.with_context(|| format!("{name} reads no section"))?;
        self.section(section, place, into)
    }

    /// The keys of one call of `section`.
    fn section(&self, call: &ExprMethodCall, place: &Place, into: &mut Reference) -> Result<()> {
        let (Some(list), Some(visitor)) = (call.args.first(), call.args.last()) else {
            bail!("section wants two arguments")
        };
        let Expr::Closure(closure) = unreferenced(visitor) else { bail!("section wants a closure") };
        for key in self.keys(list)? {
            let body = value_of(closure, &key)?;
            self.key(&key, body, place, into).with_context(|| format!("key {key} in {:?}", place.path))?;
        }
        Ok(())
    }

    /// What one key reads.
    fn key(&self, key: &str, body: &Expr, place: &Place, into: &mut Reference) -> Result<()> {
        let path = [place.path.as_slice(), &[key.to_owned()]].concat();
        let mut found = Body::default();
        found.visit_expr(body);
        let fields = [place.fields.as_slice(), &found.field].concat();
        if let Some(section) = found.section {
            // The closure inside names its own fields, from the same type.
            let comment = self.comment(&place.owner, found.field.get(..1).unwrap_or_default())?;
            into.sections.insert(path.clone(), comment);
            let inner = Place { owner: place.owner.clone(), path, fields: place.fields.clone() };
            self.section(section, &inner, into)?;
        } else if found.reads == ["ignore"] {
            let meaning = String::new();
            into.keys.push(Key { path, kind: Kind::Anything, default: Value::Null, meaning });
        } else if found.reads == ["read"] {
            into.sections.insert(path.clone(), self.comment(&place.owner, &found.field)?);
            let owner = self.type_of(&place.owner, &found.field)?;
            self.read_function(&owner, &Place { owner: owner.clone(), path, fields }, into)?;
        } else if let Some(function) = found.function {
            // Of a type that stands elsewhere; its fields are called as the keys are.
            let meaning = self.comment(&place.owner, &found.field)?;
            let block = self.functions.get(&function).with_context(|| format!("there is no function {function}"))?;
            let mut body = Body::default();
            body.visit_block(block);
            let section = body.section.with_context(|| format!("{function} reads no section"))?;
            let kind = self.kind(&body)?;
            for key in self.keys(section.args.first().context("section wants keys")?)? {
                let path = [path.as_slice(), std::slice::from_ref(&key)].concat();
                let default = self.default_of(&[fields.as_slice(), &[key]].concat())?;
                into.keys.push(Key { path, kind: kind.clone(), default, meaning: meaning.clone() });
            }
        } else {
            let meaning = self.comment(&place.owner, &found.field)?;
            let mut default = self.default_of(&fields)?;
            if fields.last().is_some_and(|it| it == "sidecar_image") {
                default = json!(image_of(&fields)?);
            }
            into.keys.push(Key { path, kind: self.kind(&found)?, default, meaning });
        }
        Ok(())
    }

    /// The type that the methods of the reader want.
    fn kind(&self, body: &Body) -> Result<Kind> {
        let reads = |method: &str| body.reads.iter().any(|it| it == method);
        let single = if reads("named") {
            let table = body.names.as_deref().and_then(|table| self.names.get(table));
            Kind::Name(table.context("a table of names is not known")?.iter().map(|(name, _)| name.clone()).collect())
        } else if reads("boolean") {
            Kind::Flag
        } else if reads("string_or_number") {
            Kind::Amount
        } else if reads("string") {
            Kind::Text
        } else {
            bail!("it is read by {:?}", body.reads);
        };
        Ok(match (reads("list"), reads("map")) {
            (true, _) => Kind::List(Box::new(single)),
            (_, true) => Kind::Map(Box::new(single)),
            _ => single,
        })
    }

    fn field(&self, owner: &str, field: &str) -> Result<&syn::Field> {
        let item = self.structs.get(owner).with_context(|| format!("there is no struct {owner}"))?;
        let named = item.fields.iter().find(|it| it.ident.as_ref().is_some_and(|ident| ident == field));
        named.with_context(|| format!("{owner} has no field {field}"))
    }

    fn type_of(&self, owner: &str, fields: &[String]) -> Result<String> {
        fields.iter().try_fold(owner.to_owned(), |owner, field| Ok(type_name(&self.field(&owner, field)?.ty)))
    }

    /// The comment of a field of a field.
    fn comment(&self, owner: &str, fields: &[String]) -> Result<String> {
        let (last, before) = fields.split_last().context("it sets no field")?;
        let field = self.field(&self.type_of(owner, before)?, last)?;
        let lines = field.attrs.iter().filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
                Expr::Lit(text) => string(&text.lit),
                _ => None,
            },
            _ => None,
        });
        let comment = lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join(" ");
        ensure!(!comment.is_empty(), "field {last} has no comment");
        Ok(comment)
    }

    /// What `Settings::default()` has in a field of a field.
    fn default_of(&self, fields: &[String]) -> Result<Value> {
        let mut at = self.defaults.as_ref().context("the defaults are not known")?;
        for field in fields {
            let Expr::Struct(item) = at else { bail!("the defaults have no {field} in {fields:?}") };
            let named = item.fields.iter().find(|it| matches!(&it.member, syn::Member::Named(name) if name == field));
            at = &named.with_context(|| format!("the defaults have no {field} in {fields:?}"))?.expr;
        }
        self.value(at)
    }

    fn value(&self, shown: &Expr) -> Result<Value> {
        match shown {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Bool(flag) => Ok(json!(flag.value)),
                other => string(other).map(Value::String).context("a default is neither text nor flag"),
            },
            Expr::Path(path) if path.path.is_ident("None") => Ok(Value::Null),
            Expr::Path(path) => {
                let variant = last(&path.path);
                let name = self.names.values().flatten().find(|(_, known)| *known == variant);
                name.map(|(name, _)| json!(name)).with_context(|| format!("{variant} has no name"))
            }
            Expr::Array(items) => match items.elems.first() {
                Some(Expr::Tuple(_)) => {
                    let pair = |item: &Expr| match item {
                        Expr::Tuple(pair) => match (pair.elems.first(), pair.elems.last()) {
                            (Some(key), Some(value)) => {
                                let key = self.value(key)?.as_str().context("a key is no text")?.to_owned();
                                Ok((key, self.value(value)?))
                            }
                            _ => bail!("a pair is none"),
                        },
                        _ => bail!("a pair is none"),
                    };
                    items.elems.iter().map(pair).collect::<Result<serde_json::Map<_, _>>>().map(Value::Object)
                }
                Some(_) => {
                    items.elems.iter().map(|item| self.value(item)).collect::<Result<Vec<_>>>().map(Value::Array)
                }
                None => Ok(Value::Null),
            },
            _ => bail!("a default is of a kind that is not known"),
        }
    }
}

/// What the code behind a key does.
#[derive(Default)]
struct Body<'ast> {
    /// The methods of the reader that it calls, and `read` of a field.
    reads: Vec<String>,
    /// The first field of `self`, or fields of a field, that it names.
    field: Vec<String>,
    /// The table of names that it reads by: a constant, or the type whose `NAMES` it is.
    names: Option<String>,
    /// The outermost section that it reads.
    section: Option<&'ast ExprMethodCall>,
    /// A function that it hands a field to.
    function: Option<String>,
}

impl<'ast> Visit<'ast> for Body<'ast> {
    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let method = call.method.to_string();
        match unreferenced(&call.receiver) {
            Expr::Path(path) if path.path.is_ident("reader") => {
                if method == "section" {
                    self.section = self.section.or(Some(call));
                }
                if let (true, Some(Expr::Path(table))) = (method == "named", call.args.first().map(unreferenced)) {
                    let segments: Vec<String> = table.path.segments.iter().map(|it| it.ident.to_string()).collect();
                    self.names = segments.iter().find(|it| *it != "NAMES").cloned();
                }
                self.reads.push(method);
            }
            Expr::Field(_) if method == "read" => self.reads.push(method),
            _ => {}
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let (Expr::Path(function), Some(Expr::Reference(first))) = (call.func.as_ref(), call.args.first()) {
            if matches!(first.expr.as_ref(), Expr::Field(_)) {
                self.function = Some(last(&function.path));
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        // A method of the reader that is handed over and not called.
        let segments: Vec<String> = path.path.segments.iter().map(|it| it.ident.to_string()).collect();
        if let [owner, method] = segments.as_slice() {
            if owner == "Reader" {
                self.reads.push(method.clone());
            }
        }
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        let mut names = Vec::new();
        let mut at = field;
        loop {
            if let syn::Member::Named(name) = &at.member {
                names.insert(0, name.to_string());
            }
            match at.base.as_ref() {
                Expr::Field(inner) => at = inner,
                Expr::Path(base) if base.path.is_ident("self") => break,
                _ => return,
            }
        }
        if self.field.is_empty() {
            self.field = names;
        }
    }
}

/// What a closure does with a key: the arm of its `match`, or all of it if it has none.
fn value_of<'a>(closure: &'a ExprClosure, key: &str) -> Result<&'a Expr> {
    let Expr::Match(choice) = closure.body.as_ref() else { return Ok(&closure.body) };
    for arm in &choice.arms {
        match &arm.pat {
            Pat::Lit(literal) if string(&literal.lit).is_some_and(|text| text == key) => return Ok(&arm.body),
            Pat::Wild(_) => return Ok(&arm.body),
            _ => {}
        }
    }
    bail!("nothing reads the key {key}")
}

/// The image that a cloud's manager has by itself.
fn image_of(fields: &[String]) -> Result<String> {
    struct Image(Option<String>);
    impl Visit<'_> for Image {
        fn visit_field_value(&mut self, field: &syn::FieldValue) {
            if let (syn::Member::Named(name), Expr::Lit(text)) = (&field.member, &field.expr) {
                if name == "default_image" {
                    self.0 = string(&text.lit);
                }
            }
        }
    }
    let cloud = fields.first().and_then(|section| section.strip_suffix("_secret_manager")).context("no cloud")?;
    let path = format!("src/managers/{cloud}.rs");
    let mut image = Image(None);
    image.visit_file(&syn::parse_file(&read(&path)?)?);
    image.0.with_context(|| format!("{path} names no default_image"))
}

fn unreferenced(expression: &Expr) -> &Expr {
    match expression {
        Expr::Reference(reference) => unreferenced(&reference.expr),
        Expr::Paren(inner) => unreferenced(&inner.expr),
        other => other,
    }
}

fn string(literal: &Lit) -> Option<String> {
    match literal {
        Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

/// A list of strings.
fn strings(list: &Expr) -> Option<Vec<String>> {
    let Expr::Array(array) = unreferenced(list) else { return None };
    let text = |item: &Expr| match item {
        Expr::Lit(literal) => string(&literal.lit),
        _ => None,
    };
    array.elems.iter().map(text).collect()
}

fn last(path: &syn::Path) -> String {
    path.segments.last().map(|it| it.ident.to_string()).unwrap_or_default()
}

fn type_name(of: &syn::Type) -> String {
    match of {
        syn::Type::Path(path) => last(&path.path),
        _ => String::new(),
    }
}

const BEGINNING: &str = "\
# Settings

<!-- Made by `make settings` of the comments in src/settings/mod.rs. -->

The settings are the section `webhook` of Flyte's configuration, as it is. All keys have defaults: `{}` is valid and means
Embedded from Kubernetes Secrets. `null` counts as the default. Names of managers, types and schemes are read in any case.
A key that is not on this page is refused, with the nearest known one. Keys that are *ours* are not known to Flyte.

`flyte-secrets check FILE` says what is wrong in a file, line by line; see [The command line](cli.md#settings). What the
policy refuses at its start is listed in [Troubleshooting](troubleshooting.md#the-settings).
";

impl Reference {
    /// The chapter.
    ///
    /// # Errors
    /// A section has no comment.
    pub fn chapter(&self) -> Result<String> {
        let mut text = BEGINNING.to_owned();
        let mut tables: Vec<(&[String], Vec<&Key>)> = Vec::new();
        let (ignored, read): (Vec<_>, Vec<_>) = self.keys.iter().partition(|key| key.kind == Kind::Anything);
        for key in read {
            let mut above = (0..key.path.len()).rev().filter_map(|length| key.path.get(..length));
            let section = above.find(|path| self.sections.contains_key(*path)).unwrap_or_default();
            match tables.iter_mut().find(|(known, _)| *known == section) {
                Some((_, keys)) => keys.push(key),
                None => tables.push((section, vec![key])),
            }
        }
        for (parent, keys) in tables {
            let heading = match parent {
                [] => "The section itself".to_owned(),
                path => format!("`{}`", path.join(".")),
            };
            write!(text, "\n## {heading}\n\n")?;
            if let Some(comment) = self.sections.get(parent) {
                write!(text, "{}\n\n", meaning(comment))?;
            }
            text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
            for key in keys {
                let name = key.path.get(parent.len()..).unwrap_or_default().join(".");
                let (kind, default) = (key.kind.words(), default(&key.default));
                writeln!(text, "| `{name}` | {kind} | {default} | {} |", meaning(&key.meaning))?;
            }
        }
        text.push_str("\n## Keys without a meaning\n\n");
        text.push_str("These are Flyte's, mean nothing in a policy, and are accepted and ignored:\n\n");
        for key in ignored {
            writeln!(text, "* `{}`", key.path.join("."))?;
        }
        Ok(text)
    }
}

fn meaning(comment: &str) -> String {
    let (mark, rest) = match comment.split_once(": ") {
        Some((mark @ ("Ours" | "Deprecated by Flyte"), rest)) => (format!("*{mark}.* "), rest),
        _ => (String::new(), comment),
    };
    let mut characters = rest.chars();
    let first = characters.next().map(|it| it.to_uppercase().to_string()).unwrap_or_default();
    format!("{mark}{first}{}", characters.as_str())
}

fn default(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) => items.iter().map(default).collect::<Vec<_>>().join(", "),
        Value::Object(pairs) => {
            let pair = |(key, value): (&String, &Value)| format!("`{key}: {}`", value.as_str().unwrap_or_default());
            pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        other => format!("`{other}`"),
    }
}
