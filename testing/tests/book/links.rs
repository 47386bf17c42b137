//! Links in the repository's Markdown: the file must exist, and have the heading.
//!
//! Pages of the book, and files that they include, may only link to pages of the book, because the built book has no
//! other files. Links to the rest of the repository are URLs, which are checked as well.

use std::collections::BTreeMap;

use anyhow::Result;
use flyte_secrets_testing::repository::{self, files, read};
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

/// The folder of the book's pages.
const BOOK: &str = "docs/src/";

/// A file that another part of the build adds to the book.
const ADDED: &str = "docs/src/playground/index.html";

/// Prefixes of URLs of files in the repository.
const ADDRESSES: [&str; 2] =
    [concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/"), concat!(env!("CARGO_PKG_REPOSITORY"), "/tree/main/")];

/// Markdown files by path.
type Pages = BTreeMap<String, Page>;

/// A Markdown file.
#[derive(Default)]
struct Page {
    /// Targets of its links.
    links: Vec<String>,
    /// Its anchors.
    anchors: Vec<String>,
    /// Markdown files that it includes, by path in the repository.
    includes: Vec<String>,
}

impl Page {
    fn parse(file: &str, text: &str) -> Self {
        let mut page = Self::default();
        let mut heading = String::new();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading.clear(),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading);
                    let numbered = (1..).map(|number| format!("{anchor}-{number}"));
                    let mut names = std::iter::once(anchor.clone()).chain(numbered);
                    page.anchors.extend(names.find(|name| !page.anchors.contains(name)));
                }
                Event::Start(Tag::Link { link_type: LinkType::Email, .. }) => {}
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Text(text) | Event::Code(text) => {
                    heading.push_str(&text);
                    let included = text.split("{{#include ").skip(1).filter_map(|it| it.split([':', '}']).next());
                    page.includes.extend(included.filter_map(|it| join(file, it)).filter(|it| it.ends_with(".md")));
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

/// Returns the path of a link in a file, or `None` if it is outside of the repository.
fn join(file: &str, link: &str) -> Option<String> {
    let mut path: Vec<&str> = file.split('/').collect();
    path.pop();
    for part in link.split('/') {
        match part {
            "." => {}
            ".." => drop(path.pop()?),
            name => path.push(name),
        }
    }
    Some(path.join("/"))
}

/// Returns the number of links in the repository's Markdown, and the broken ones.
///
/// # Errors
/// A file cannot be read.
pub fn broken() -> Result<(usize, Vec<String>)> {
    let mut pages = Pages::new();
    for file in files("", ".md")? {
        let page = Page::parse(&file, &read(&file)?);
        pages.insert(file, page);
    }
    let mut broken = Vec::new();
    for (file, page) in &pages {
        let problems = page.links.iter().filter_map(|link| Some((link, problem(&pages, file, link)?)));
        broken.extend(problems.map(|(link, problem)| format!("{file}: {link}: {problem}")));
        for included in &page.includes {
            let Some(Page { links, .. }) = pages.get(included) else {
                broken.push(format!("{file}: included file {included} not found"));
                continue;
            };
            for link in links.iter().filter(|link| !link.starts_with('#') && !link.contains("://")) {
                broken.push(format!("{included}: {link}: must be a URL, because {file} includes the file"));
            }
        }
    }
    let summary = format!("{BOOK}SUMMARY.md");
    let listed: Vec<String> = pages[&summary].links.iter().filter_map(|link| join(&summary, link)).collect();
    let unlisted = pages.keys().filter(|file| file.starts_with(BOOK) && **file != summary && !listed.contains(file));
    broken.extend(unlisted.map(|file| format!("{file}: not in SUMMARY.md, so the book lacks it")));
    Ok((pages.values().map(|page| page.links.len()).sum(), broken))
}

fn problem(pages: &Pages, file: &str, link: &str) -> Option<&'static str> {
    let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let address = ADDRESSES.iter().find_map(|address| target.strip_prefix(address));
    let path = match address {
        Some(path) => path.to_owned(),
        None if target.is_empty() => file.to_owned(),
        None if target.contains("://") => return None,
        None => match join(file, target) {
            Some(path) => path,
            None => return Some("outside of the repository"),
        },
    };
    if path == ADDED {
        return None;
    }
    if address.is_none() && file.starts_with(BOOK) && !path.starts_with(BOOK) {
        return Some("not in the book; use its URL");
    }
    match (pages.get(&path), anchor) {
        (Some(page), Some(anchor)) => {
            let included = page.includes.iter().filter_map(|include| pages.get(include));
            let mut all = std::iter::once(page).chain(included).flat_map(|page| &page.anchors);
            (!all.any(|known| known == anchor)).then_some("heading not found")
        }
        (None, _) if !repository::path(&path).exists() => Some("file not found"),
        _ => None,
    }
}

mod tests {
    use super::*;

    #[test]
    fn links_anchors_and_includes_are_found() {
        let page = Page::parse(
            "docs/src/x.md",
            "# A `b.c` (d)\n\nSee [one](x.md#y), ![two](z.png) and [three].\n\n# Two\n\n# Two\n\n{{#include ../a.md:part}}\n\n\
             [three]: https://example.com/\n\n```sh\n[no](link.md)\n```\n",
        );
        assert_eq!(page.links, ["x.md#y", "z.png", "https://example.com/"]);
        assert_eq!(page.anchors, ["a-bc-d", "two", "two-1"]);
        assert_eq!(page.includes, ["docs/a.md"]);
    }

    #[test]
    fn problems_of_links() {
        let texts = [
            ("docs/src/a.md", "# Here"),
            ("docs/src/settings.md", "{{#include ../../README.md}}"),
            ("README.md", "# Of all"),
        ];
        let pages: Pages = texts.map(|(file, text)| (file.to_owned(), Page::parse(file, text))).into();
        let address = ADDRESSES[0];
        let table = [
            ("#here", None),
            ("playground/index.html", None),
            ("settings.md#of-all", None),
            ("https://example.com/x", None),
            (&format!("{address}README.md#of-all"), None),
            ("#there", Some("heading not found")),
            ("settings.md#there", Some("heading not found")),
            ("b.md", Some("file not found")),
            ("../../README.md", Some("not in the book; use its URL")),
            ("../../../x", Some("outside of the repository")),
            (&format!("{address}NONE.md"), Some("file not found")),
            (&format!("{address}README.md#there"), Some("heading not found")),
        ];
        for (link, expected) in table {
            assert_eq!(problem(&pages, "docs/src/a.md", link), expected, "{link}");
        }
    }
}
