//! Content negotiation by the header `Accept`, in the client's order of preference.

use axum::http::{HeaderMap, header};

/// A form of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// The object itself.
    Plain,
    /// A table, for kubectl.
    Table,
    /// Metadata only.
    Metadata,
    /// All groups with their resources, in this version of `apidiscovery.k8s.io`.
    Discovery(&'static str),
}

/// Returns the first form that the client accepts and the server has.
pub(super) fn negotiate(headers: &HeaderMap, has: impl Fn(Form) -> bool) -> Option<Form> {
    let mut ranges =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    match headers.contains_key(header::ACCEPT) {
        false => Some(Form::Plain),
        true => ranges.find_map(|range| form(range).filter(|form| has(*form))),
    }
}

fn form(range: &str) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?;
    if !["application/json", "application/*", "*/*"].iter().any(|known| known.eq_ignore_ascii_case(media_type)) {
        return None;
    }
    let (mut kind, mut group, mut version) = ("", "", "");
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        match key {
            "as" => kind = value,
            "g" => group = value,
            "v" => version = value,
            _ => {}
        }
    }
    match (kind, group, version) {
        ("", _, _) => Some(Form::Plain),
        ("Table", "meta.k8s.io", "v1") => Some(Form::Table),
        ("PartialObjectMetadata", "meta.k8s.io", "v1") => Some(Form::Metadata),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some(Form::Discovery("v2")),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => Some(Form::Discovery("v2beta1")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_supported_form_is_chosen() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                       application/json";
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let table = [
            (None, Some(Form::Plain)),
            (Some("*/*"), Some(Form::Plain)),
            (Some("application/json, */*"), Some(Form::Plain)),
            (Some(kubectl), Some(Form::Table)),
            (Some("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"), Some(Form::Plain)),
            (Some(discovery), Some(Form::Plain)),
            (Some("application/vnd.kubernetes.protobuf"), None),
            (Some("application/vnd.kubernetes.protobuf, application/json"), Some(Form::Plain)),
            (Some(""), None),
        ];
        for (accept, wanted) in table {
            let headers = accept.map(|it| (header::ACCEPT, it.parse().unwrap())).into_iter().collect();
            let has = |form| !matches!(form, Form::Discovery(_));
            assert_eq!(negotiate(&headers, has), wanted, "{accept:?}");
        }
    }
}
