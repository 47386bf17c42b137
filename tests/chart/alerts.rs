//! Alerts on the gateway: they use metrics and labels that the gateway has, and name labels that remain. Metrics are
//! read from the gateway's sources, alerts from the rendered chart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::helm::{documents, repository};

/// Labels that Prometheus itself adds.
const TARGET: &[&str] = &["instance"];

fn source(path: &str) -> String {
    fs::read_to_string(repository("gateway/src").join(path)).expect("a source of the gateway")
}

/// Returns the text between two others, for each occurrence of the first.
fn between<'a>(text: &'a str, from: &'a str, to: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(from).skip(1).filter_map(move |rest| rest.split_once(to).map(|(found, _)| found))
}

/// The names under which Prometheus has the gateway's metrics, with their labels.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let text = source("metrics.rs");
    let labels_of = |kind: &str| -> BTreeSet<String> {
        let fields = between(&text, &format!("pub struct {kind} {{"), "}").collect::<String>();
        between(&fields, "pub ", ":").map(str::to_owned).collect()
    };
    let mut metrics = BTreeMap::new();
    for registered in between(&text, "registry.register(", ";") {
        let name = registered.split('"').nth(1).expect("a name");
        let field = between(registered, "metrics.", ".clone()").next().expect("a field");
        let declared = format!("    pub {field}: ");
        let kind = between(&text, &declared, ",\n").next().expect("its type");
        let labels = between(kind, "Family<", ",").next().map(labels_of).unwrap_or_default();
        let endings: &[&str] = match kind {
            kind if kind.contains("Counter") => &["_total"],
            kind if kind.contains("Histogram") => &["_bucket", "_count", "_sum"],
            _ => &[""],
        };
        for ending in endings {
            let mut labels = labels.clone();
            labels.extend((*ending == "_bucket").then(|| "le".to_owned()));
            metrics.insert(format!("secret_gateway_{name}{ending}"), labels);
        }
    }
    metrics
}

/// The alerts as they are rendered for GKE, where they are on.
fn alerts() -> Vec<Value> {
    let golden =
        fs::read_to_string(repository("tests/chart/golden/gcp.yaml")).expect("`make chart-test WRITE=1` writes it");
    let rules = documents(&golden).into_iter().filter(|document| document["kind"] == "PrometheusRule");
    rules.flat_map(|rule| rule["spec"]["groups"][0]["rules"].as_array().cloned().expect("alerts")).collect()
}

/// Metrics for dashboards, without alerts of their own.
const WITHOUT_ALERT: &[&str] = &[
    "secret_gateway_audit_queued_bytes",
    "secret_gateway_cache_bytes",
    "secret_gateway_in_flight",
    "secret_gateway_provider_in_flight",
    "secret_gateway_pull_seconds",
    "secret_gateway_pulls_in_flight",
    "secret_gateway_reads_total",
    "secret_gateway_unauthenticated_total",
];

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

#[test]
fn metrics_are_read_from_the_sources() {
    let metrics = metrics();
    let labels = |name: &str| metrics[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(labels("secret_gateway_requests_total"), ["kind", "outcome"]);
    assert_eq!(labels("secret_gateway_provider_seconds_bucket"), ["kind", "le", "outcome"]);
    assert_eq!(labels("secret_gateway_breaker"), ["kind", "place"]);
    assert!(labels("secret_gateway_cache_entries").is_empty());
}

#[test]
fn each_metric_has_an_alert_or_a_reason_for_none() {
    let ending = |name: &str| ["_bucket", "_count", "_sum"].into_iter().find(|ending| name.ends_with(ending));
    let base = |name: &str| name.trim_end_matches(ending(name).unwrap_or_default()).to_owned();
    let expressions: Vec<String> = alerts().iter().map(|alert| alert["expr"].to_string()).collect();
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let asked: BTreeSet<String> = expressions.iter().flat_map(|text| text.split(|c| !inside(c))).map(base).collect();
    let without: Vec<String> =
        metrics().keys().map(|name| base(name)).collect::<BTreeSet<_>>().difference(&asked).cloned().collect();
    assert_eq!(without, WITHOUT_ALERT);
}

#[test]
fn alerts_use_existing_metrics() {
    let (metrics, alerts) = (metrics(), alerts());
    let sources = ["metrics.rs", "reader/lane.rs", "api/status.rs", "access/review.rs"].map(source).concat();
    assert!(alerts.len() > 5, "{alerts:#?}");
    for alert in &alerts {
        let name = alert["alert"].as_str().expect("a name");
        let expression = alert["expr"].as_str().expect("an expression");
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            assert_eq!(
                expression.matches(open).count(),
                expression.matches(close).count(),
                "{name}: {open} and {close}"
            );
        }
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let asked: Vec<&str> =
            expression.split(|c| !inside(c)).filter(|word| word.starts_with("secret_gateway")).collect();
        assert!(!asked.is_empty(), "{name}");
        let known: Vec<_> =
            asked.iter().map(|metric| metrics.get(*metric).unwrap_or_else(|| panic!("{name}: {metric}"))).collect();
        let has = |label: &str| TARGET.contains(&label) || known.iter().all(|labels| labels.contains(label));
        for matcher in between(expression, "{", "}").flat_map(words) {
            let (label, values) = matcher.split_once('=').expect("a matcher");
            assert!(has(label), "{name}: {label}");
            for value in values.trim_start_matches('~').trim_matches('"').split('|') {
                let written = [format!("\"{value}\""), format!("ReasonCode::{value}")];
                assert!(written.iter().any(|it| sources.contains(it)), "{name}: nothing is called {value:?}");
            }
        }
        let kept: BTreeSet<&str> = between(expression, " by (", ")").flat_map(words).collect();
        kept.iter().for_each(|label| assert!(has(label), "{name}: {label}"));
        let text = alert["annotations"].to_string();
        for label in between(&text, "$labels.", " ") {
            assert!(kept.contains(label), "{name} speaks of {label}, which its expression does not keep");
        }
        assert!(["critical", "warning"].contains(&alert["labels"]["severity"].as_str().unwrap_or_default()), "{name}");
    }
}
