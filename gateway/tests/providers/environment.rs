//! The providers as the binary opens them: with the identity that a pod's environment gives them.
//!
//! An environment belongs to a process. So the test starts itself again in each of them.

use std::collections::HashMap;
use std::process::Output;

use secret_gateway::config::Providers;
use secret_gateway::providers;
use serde_json::{Value, json as object};

use crate::aws::{REGION, service};
use crate::double::{Answer, Asked, Double, header, html, json, json_with};
use crate::{alone, azure, file, gcp, read, text};

/// The configuration, where the test is the process in an environment; and the names of what it reads.
const CONFIG: &str = "TEST_PROVIDERS";
const SECRET: &str = "TEST_SECRET";

/// Opens what the environment says and reads one secret from each place of it.
async fn in_an_environment(config: &str) {
    let config: Providers = serde_json::from_str(config).unwrap();
    let secret = std::env::var(SECRET).unwrap();
    let providers = providers::open(&config).await.unwrap();
    assert_eq!(providers.len(), 1);
    for (kind, provider) in providers {
        for place in config.places(kind) {
            assert_eq!(read(&*provider, place, &secret).await, text(""), "{place}");
        }
    }
}

async fn with_environment(config: Value, secret: &str, variables: &[(&str, &str)]) -> Result<(), Output> {
    let config = config.to_string();
    let variables = [variables, &[(CONFIG, config.as_str()), (SECRET, secret)]].concat();
    alone("environment::identities_come_from_the_environment", &variables).await
}

#[tokio::test]
async fn identities_come_from_the_environment() {
    if let Ok(config) = std::env::var(CONFIG) {
        return in_an_environment(&config).await;
    }
    pod_identity().await;
    irsa().await;
    gke().await;
    aks().await;
}

/// Secrets Manager for who has the session that the identity gave.
fn secrets_manager(asked: &Asked) -> Answer {
    service(asked, |_| match header(asked, "x-amz-security-token") {
        "session" => json(200, object!({"SecretString": ""})),
        _ => json(400, object!({"__type": "UnrecognizedClientException"})),
    })
}

fn aws(endpoint: &str) -> Value {
    object!({"aws": {"regions": [REGION], "endpoint": endpoint}})
}

/// EKS Pod Identity: an agent on the node.
async fn pod_identity() {
    let double = Double::http(|asked| match (asked.uri().path(), header(asked, "authorization")) {
        ("/v1/credentials", "of-the-pod") => json(
            200,
            object!({"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "key", "Token": "session",
                     "Expiration": "2099-01-01T00:00:00Z"}),
        ),
        ("/v1/credentials", _) => html(400),
        _ => secrets_manager(asked),
    })
    .await;
    let token = file("of-the-pod");
    let path = token.path().display().to_string();
    let uri = format!("{}/v1/credentials", double.url());
    let variables =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &path)];
    assert_eq!(with_environment(aws(&double.url()), "a", &variables).await, Ok(()));
    assert_eq!(double.asked(), ["GET /v1/credentials", "POST /"]);
}

/// IRSA: STS, for the token of the service account.
async fn irsa() {
    let answer = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                  <AccessKeyId>AKIDEXAMPLE</AccessKeyId><SecretAccessKey>key</SecretAccessKey>\
                  <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
                  </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    let double = Double::http(move |asked| {
        let form: HashMap<_, _> = url::form_urlencoded::parse(asked.body()).into_owned().collect();
        let field = |name| form.get(name).map(String::as_str);
        match (field("Action"), field("RoleArn"), field("WebIdentityToken")) {
            (Some("AssumeRoleWithWebIdentity"), Some("arn:aws:iam::1:role/gateway"), Some("of-the-pod")) => {
                json_with(200, "content-type", "text/xml", answer)
            }
            (Some(_), ..) => html(403),
            (None, ..) => secrets_manager(asked),
        }
    })
    .await;
    let token = file("of-the-pod");
    let path = token.path().display().to_string();
    let url = double.url();
    let variables = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/gateway"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path.as_str()),
        ("AWS_ENDPOINT_URL_STS", &url),
    ];
    assert_eq!(with_environment(aws(&url), "a", &variables).await, Ok(()));
    assert_eq!(double.asked(), ["POST /", "POST /"]);
}

/// GKE's Workload Identity: the metadata server.
async fn gke() {
    let cloud = gcp::Cloud::start(0, 3600).await;
    let config = object!({"gcp": {"projects": [gcp::PROJECT], "endpoint": cloud.service.url()}});
    let host = format!("127.0.0.1:{}", cloud.metadata.port);
    assert_eq!(with_environment(config, "empty", &[("GCE_METADATA_HOST", &host)]).await, Ok(()));
}

/// AKS's Workload Identity: Entra, for the token of the service account.
async fn aks() {
    let cloud = azure::Cloud::start(azure::USUAL).await;
    let config = &cloud.config;
    let config = object!({"azure": {"vaults": [azure::VAULT], "endpoint": config.endpoint, "caFile": config.ca_file,
                                    "authority": config.authority}});
    let path = cloud.identity.token_file.display().to_string();
    let variables = [
        ("AZURE_TENANT_ID", "directory"),
        ("AZURE_CLIENT_ID", "gateway"),
        ("AZURE_FEDERATED_TOKEN_FILE", path.as_str()),
    ];
    assert_eq!(with_environment(config.clone(), "empty", &variables).await, Ok(()));
    let lacking = with_environment(config, "empty", &variables[..2]).await.unwrap_err();
    let said = String::from_utf8_lossy(&lacking.stderr).into_owned() + &String::from_utf8_lossy(&lacking.stdout);
    assert!(said.contains("NoIdentity(\"AZURE_FEDERATED_TOKEN_FILE\")"), "{said}");
}
