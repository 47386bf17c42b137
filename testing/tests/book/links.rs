//! Links in the repository's Markdown: the file must exist, and have the heading.
//!
//! Pages of the book, and files that they include, may only link to pages of the book, because the built book has no
//! other files. Links to the rest of the repository are URLs, which are checked as well.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use flyte_secrets_testing::repository::{self, files, read};
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

/// The folder of the book's pages.
const BOOK: &str = "docs/src";

/// Files that other parts of the build add to the book.
const ABSENT: [&str; 1] = ["docs/src/playground/index.html"];

/// Prefixes of URLs of files in the repository.
const ADDRESSES: [&str; 2] =
    [concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/"), concat!(env!("CARGO_PKG_REPOSITORY"), "/tree/main/")];

/// A Markdown file.
struct Page {
    /// Targets of its links.
    links: Vec<String>,
    /// Its anchors.
    anchors: Vec<String>,
    /// Files that a page of the book includes.
    includes: Vec<String>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self { links: Vec::new(), anchors: Vec::new(), includes: Vec::new() };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let count = counts.entry(anchor.clone()).or_default();
                    page.anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
                    *count += 1;
                }
                Event::Start(Tag::Link { link_type: LinkType::Email, .. }) => {}
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Text(text) | Event::Code(text) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&text));
                    let included = text.split("{{#include ").skip(1).filter_map(|it| it.split("}}").next());
                    let files = included.map(|it| it.split(':').next().unwrap_or(it));
                    page.includes.extend(files.filter(|it| it.ends_with(".md")).map(str::to_owned));
                }
                _ => {}
            }
        }
        page
    }
}

/// Returns the ID of a heading in GitHub and mdBook.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns a path without `.` and `..`, or `None` if it is outside of the repository.
fn plain(path: &Path) -> Option<String> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir if plain.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    plain.to_str().map(str::to_owned)
}

/// Returns the number of links in the repository's Markdown, and the broken ones.
///
/// # Errors
/// A file cannot be read.
pub fn dead() -> Result<(usize, Vec<String>)> {
    let mut pages = BTreeMap::new();
    for file in files("", ".md")? {
        pages.insert(file.clone(), Page::read(&read(&file)?));
    }
    let mut looked_at = 0;
    let mut dead = Vec::new();
    for (file, page) in &pages {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let of_book = folder.starts_with(BOOK);
        for link in &page.links {
            looked_at += 1;
            if let Some(problem) = problem(&pages, file, folder, of_book, link) {
                dead.push(format!("{file}: {link}: {problem}"));
            }
        }
        for include in &page.includes {
            let included = plain(&folder.join(include)).unwrap_or_default();
            let Some(inner) = pages.get(&included) else {
                dead.push(format!("{file}: {include}: there is no such file to include"));
                continue;
            };
            for link in inner.links.iter().filter(|link| !link.starts_with('#') && !is_address(link)) {
                dead.push(format!("{included}: {link}: {file} includes it, where this leads nowhere; use an address"));
            }
        }
    }
    let listed = pages.get(&format!("{BOOK}/SUMMARY.md")).context("the book has no SUMMARY.md")?;
    for file in pages.keys().filter_map(|file| file.strip_prefix(BOOK)?.strip_prefix('/')) {
        if file != "SUMMARY.md" && !listed.links.iter().any(|link| link.trim_start_matches("./") == file) {
            dead.push(format!("{BOOK}/{file}: SUMMARY.md does not list it, so the book lacks it"));
        }
    }
    Ok((looked_at, dead))
}

fn is_address(link: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| link.starts_with(scheme))
}

fn problem(
    pages: &BTreeMap<String, Page>,
    file: &str,
    folder: &Path,
    of_book: bool,
    link: &str,
) -> Option<&'static str> {
    let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let address = ADDRESSES.iter().find_map(|address| target.strip_prefix(address));
    let path = match (target, address) {
        ("", _) => file.to_owned(),
        (_, Some(path)) => path.to_owned(),
        (elsewhere, None) if is_address(elsewhere) => return None,
        (relative, None) => match plain(&folder.join(relative)) {
            Some(path) => path,
            None => return Some("it leaves the repository"),
        },
    };
    if ABSENT.contains(&path.as_str()) {
        return None;
    }
    if of_book && address.is_none() && !Path::new(&path).starts_with(BOOK) {
        return Some("it is not in the book; use its address");
    }
    if !pages.contains_key(&path) && !repository::path(&path).exists() {
        return Some("there is no such file");
    }
    match (anchor, pages.get(&path)) {
        (Some(anchor), Some(page)) => {
            let included = page.includes.iter().filter_map(|include| {
                let folder = Path::new(&path).parent()?;
                pages.get(&plain(&folder.join(include))?)
            });
            let mut anchors = page.anchors.iter().chain(included.flat_map(|page| &page.anchors));
            (!anchors.any(|it| it == anchor)).then_some("there is no such heading")
        }
        _ => None,
    }
}

mod tests {
    use super::*;

    #[test]
    fn links_anchors_and_includes_are_found() {
        let page = Page::read(
            "# A `b.c` (d)\n\nSee [one](x.md#y), ![two](z.png) and [three].\n\n# Two\n\n# Two\n\n{{#include ../a.md:part}}\n\n\
             [three]: https://example.com/\n\n```sh\n[no](link.md)\n```\n",
        );
        assert_eq!(page.links, ["x.md#y", "z.png", "https://example.com/"]);
        assert_eq!(page.anchors, ["a-bc-d", "two", "two-1"]);
        assert_eq!(page.includes, ["../a.md"]);
    }

    #[test]
    fn what_leads_nowhere_is_named() {
        let page = |text: &str| Page::read(text);
        let pages = BTreeMap::from([
            ("docs/src/a.md".to_owned(), page("# Here")),
            ("docs/src/settings.md".to_owned(), page("{{#include ../../README.md}}")),
            ("README.md".to_owned(), page("# Of all")),
        ]);
        let of = |link: &str| problem(&pages, "docs/src/a.md", Path::new(BOOK), true, link);
        let address = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");
        for fine in [
            "#here",
            "playground/index.html",
            "settings.md#of-all",
            "https://example.com/x",
            &format!("{address}README.md#of-all"),
        ] {
            assert_eq!(of(fine), None, "{fine}");
        }
        for (dead, why) in [
            ("#there", "there is no such heading"),
            ("settings.md#there", "there is no such heading"),
            ("b.md", "there is no such file"),
            ("../../README.md", "it is not in the book; use its address"),
            ("../../../x", "it leaves the repository"),
            (&format!("{address}NONE.md"), "there is no such file"),
            (&format!("{address}README.md#there"), "there is no such heading"),
        ] {
            assert_eq!(of(dead), Some(why), "{dead}");
        }
    }
}
