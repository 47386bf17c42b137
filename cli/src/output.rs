//! Output of all commands: text, JSON, YAML, diffs, and excerpts of files.
//!
//! Answers go to standard output; notes, warnings and errors to standard error.

use std::io::{ErrorKind, Write};
use std::iter;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use flyte_secrets_explain::check::{Finding, Severity};
use flyte_secrets_explain::source::Source;
use flyte_secrets_explain::yaml::Place;
use serde::Serialize;
use similar::TextDiff;

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
    match stream.write_all(text.as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(2),
        Err(error) => fail(&error),
    }
}

/// Writes an answer as JSON, with a line for each member.
pub fn json(answer: &impl Serialize) {
    match serde_json::to_string_pretty(answer) {
        Ok(text) => data(&(text + "\n")),
        Err(error) => fail(&error),
    }
}

fn fail(cause: &dyn std::error::Error) -> ! {
    error(&format!("failed to write the answer: {cause}"));
    std::process::exit(2)
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
pub fn table(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let mut lines = rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    });
    let bold = Style::new().bold();
    let heading = lines.next().unwrap_or_default();
    format!("{bold}{}{bold:#}\n", heading.trim_end()) + &lines.collect::<String>()
}

/// Returns a unified diff, with colors if standard output has them. Its lines are data.
pub fn diff(name: &str, before: &str, after: &str) -> String {
    let unified = TextDiff::from_lines(before, after).unified_diff().header(name, "as admitted").to_string();
    if AutoStream::choice(&std::io::stdout()) == ColorChoice::Never {
        return unified;
    }
    let colored = unified.lines().map(|line| {
        let style = match line.as_bytes().first() {
            Some(b'-') => AnsiColor::Red.on_default(),
            Some(b'+') => AnsiColor::Green.on_default(),
            Some(b'@') => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        format!("{style}{line}{style:#}\n")
    });
    colored.collect()
}

/// Returns a finding with an excerpt of its file. A file within a quoted string of the text has no excerpt.
pub fn finding(finding: &Finding, source: &Source) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.message.as_str());
    let path = finding.file.as_ref().map_or_else(|| source.name.clone(), |file| format!("{} ({file})", source.name));
    let group = match finding.place {
        Some(place) if finding.file.is_none() => {
            let annotation = AnnotationKind::Primary.span(span(&source.text, place));
            title.element(Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(annotation))
        }
        _ => title.element(Origin::path(path.as_str())),
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
