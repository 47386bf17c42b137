//! Output of all commands: text, JSON, YAML, diffs, and excerpts of files.
//!
//! Answers go to standard output; notes, warnings and errors to standard error.

use std::io::{ErrorKind, Write};
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use flyte_secrets_explain::check::{Finding, Severity};
use flyte_secrets_explain::source::Source;
use flyte_secrets_explain::yaml::Place;
use serde::Serialize;
use similar::TextDiff;

/// Whether a command succeeded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Success.
    Yes,
    /// Failure: exit code 1.
    No,
}

impl Answer {
    pub fn yes_if(right: bool) -> Self {
        if right { Self::Yes } else { Self::No }
    }

    pub fn and(self, other: Self) -> Self {
        Self::yes_if(self == Self::Yes && other == Self::Yes)
    }
}

/// Output format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// Human-readable text
    Text,
    /// JSON
    Json,
}

/// Writes human-readable text to standard output. Without colors, control characters are removed, so use it not for
/// data.
pub fn print(text: &str) {
    write(anstream::stdout(), text);
}

/// Writes data to standard output, unchanged.
pub fn data(text: &str) {
    write(std::io::stdout(), text);
}

/// Exits if writing fails, without a message if the reader has closed the pipe.
fn write(mut stream: impl Write, text: &str) {
    if let Err(error) = stream.write_all(text.as_bytes()) {
        if error.kind() != ErrorKind::BrokenPipe {
            fail(&error);
        }
        std::process::exit(2);
    }
}

/// Writes an answer as JSON, with a line for each member.
pub fn json(answer: &impl Serialize) {
    match serde_json::to_string_pretty(answer) {
        Ok(text) => data(&(text + "\n")),
        Err(error) => {
            fail(&error);
            std::process::exit(2);
        }
    }
}

fn fail(cause: &dyn std::error::Error) {
    error(&format!("failed to write the answer: {cause}"));
}

pub fn error(message: &str) {
    say("error", AnsiColor::Red, message);
}

pub fn warning(message: &str) {
    say("warning", AnsiColor::Yellow, message);
}

pub fn note(message: &str) {
    say("note", AnsiColor::Cyan, message);
}

fn say(kind: &str, color: AnsiColor, message: &str) {
    let style = color.on_default().bold();
    anstream::eprintln!("{style}{kind}{style:#}: {message}");
}

/// Returns aligned columns with a heading.
pub fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<String>>().join("  ").trim_end().to_owned() + "\n"
    };
    let bold = Style::new().bold();
    let mut text = format!("{bold}{}{bold:#}\n", line(heading).trim_end());
    text.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    text
}

/// Whether standard output has colors.
fn colored() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// Returns a unified diff, with colors if enabled. Its lines are data.
pub fn diff(name: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let unified = diff.unified_diff().header(name, "as admitted").to_string();
    if !colored() {
        return unified;
    }
    unified
        .lines()
        .map(|line| {
            let style = match line.as_bytes().first() {
                Some(b'-') => AnsiColor::Red.on_default(),
                Some(b'+') => AnsiColor::Green.on_default(),
                Some(b'@') => AnsiColor::Cyan.on_default(),
                _ => Style::new(),
            };
            format!("{style}{line}{style:#}\n")
        })
        .collect()
}

/// Returns a finding with an excerpt of its file. A file within a quoted string of the text has no excerpt.
pub fn finding(finding: &Finding, source: &Source) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.message.as_str());
    let path = match &finding.file {
        Some(file) => format!("{} ({file})", source.name),
        None => source.name.clone(),
    };
    let group = match finding.place {
        Some(place) if finding.file.is_none() => {
            let annotation = AnnotationKind::Primary.span(span(&source.text, place));
            title.element(Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(annotation))
        }
        _ => title.element(annotate_snippets::Origin::path(path.as_str())),
    };
    Renderer::styled().render(&[group]) + "\n"
}

/// Returns the byte range of a place, up to the end of its line.
fn span(text: &str, place: Place) -> Range<usize> {
    let before: usize = text.split_inclusive('\n').take(place.line.saturating_sub(1)).map(str::len).sum();
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let start = place.column.saturating_sub(1);
    before + byte(start)..before + byte(start.saturating_add(place.length.max(1)))
}
