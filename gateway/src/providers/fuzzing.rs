//! Failures for errors of providers, built from the parts that come over the network. For the fuzz targets.

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::ErrorMetadata;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use axum::http::{HeaderMap, HeaderValue, header};
use azure_core::http::RawResponse;
use azure_core::http::headers::{Headers, RETRY_AFTER};
use bytes::Bytes;
use google_cloud_gax::error::rpc::Status;
use google_cloud_secretmanager_v1::Error as GcpError;

use super::{aws, azure, gcp};
use crate::provider::Failure;

/// An error response of a provider.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: HeaderValue,
    /// AWS: the error's code.
    pub code: Option<&'a str>,
    /// AWS: its message.
    pub message: &'a str,
    /// GCP and Azure: the body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Returns the failure for an error of Secrets Manager, or none for an invalid HTTP status.
    pub fn aws(&self) -> Option<Failure> {
        let mut raw = HttpResponse::new(self.status.try_into().ok()?, "".into());
        raw.headers_mut().insert("retry-after", self.retry_after.to_str().ok()?.to_owned());
        let mut metadata = ErrorMetadata::builder().message(self.message);
        if let Some(code) = self.code {
            metadata = metadata.code(code);
        }
        Some(aws::refused(&GetSecretValueError::generic(metadata.build()), &raw))
    }

    /// Returns the failure for an error of Secret Manager.
    pub fn gcp(&self) -> Failure {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, self.retry_after.clone())]);
        let body = Bytes::copy_from_slice(self.body);
        // The SDK distinguishes them like this.
        gcp::failure(&match Status::try_from(&body) {
            Ok(status) => GcpError::service_with_http_metadata(status, Some(self.status), Some(headers)),
            Err(_) => GcpError::http(self.status, headers, body),
        })
    }

    /// Returns the failure for an error of Key Vault.
    pub fn azure(&self) -> Failure {
        let mut headers = Headers::new();
        if let Ok(text) = self.retry_after.to_str() {
            headers.insert(RETRY_AFTER, text.to_owned());
        }
        let raw = RawResponse::from_bytes(self.status.into(), headers, self.body.to_vec());
        azure::refused(self.status, Some(&raw))
    }
}
