//! The providers as the binary opens them: with the identity that a pod's environment gives them.
//!
//! An environment belongs to a process. So the test starts itself again in each of them.

use std::collections::HashMap;

use secret_gateway::config::Providers;

use super::*;
use crate::aws::{REGION, service};

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

async fn with_environment(config: &Value, secret: &str, variables: &[(&str, &str)]) -> Result<(), Output> {
    let config = config.to_string();
    let variables = [variables, &[(CONFIG, config.as_str()), (SECRET, secret)]].concat();
    alone("environment::identities_come_from_the_environment", &variables).await
}

#[tokio::test]
async fn identities_come_from_the_environment() {
    if let Ok(config) = std::env::var(CONFIG) {
        return in_an_environment(&config).await;
    }
    eks().await;
    gke().await;
    aks().await;
}

/// An agent on the node, STS and Secrets Manager in one: the first two give the session that the last one expects.
fn amazon(asked: &Asked) -> Answer {
    let session = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                   <AccessKeyId>AKIDEXAMPLE</AccessKeyId><SecretAccessKey>key</SecretAccessKey>\
                   <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
                   </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    if asked.uri().path() == "/v1/credentials" {
        let session = object!({"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "key", "Token": "session",
                               "Expiration": "2099-01-01T00:00:00Z"});
        return if header(asked, "authorization") == "of-the-pod" { json(200, session) } else { html(400) };
    }
    let form: HashMap<_, _> = url::form_urlencoded::parse(asked.body()).into_owned().collect();
    let fields = ["Action", "RoleArn", "WebIdentityToken"].map(|name| form.get(name).map_or("", String::as_str));
    match fields {
        ["AssumeRoleWithWebIdentity", "arn:aws:iam::1:role/gateway", "of-the-pod"] => {
            json_with(200, "content-type", "text/xml", session)
        }
        ["", ..] => service(asked, |_| match header(asked, "x-amz-security-token") {
            "session" => json(200, object!({"SecretString": ""})),
            _ => json(400, object!({"__type": "UnrecognizedClientException"})),
        }),
        _ => html(403),
    }
}

/// EKS Pod Identity, with an agent on the node; and IRSA, with STS, for the token of the service account.
async fn eks() {
    let token = file("of-the-pod");
    let path = token.path().display().to_string();
    let (agent, sts) = (Double::http(amazon).await, Double::http(amazon).await);
    let (uri, url) = (format!("{}/v1/credentials", agent.url()), sts.url());
    let pod_identity =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*uri), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &path)];
    let irsa = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/gateway"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &path),
        ("AWS_ENDPOINT_URL_STS", &url),
    ];
    let table = [(&agent, &pod_identity[..], "GET /v1/credentials"), (&sts, &irsa, "POST /")];
    for (double, variables, identity) in table {
        let config = object!({"aws": {"regions": [REGION], "endpoint": double.url()}});
        assert_eq!(with_environment(&config, "a", variables).await, Ok(()));
        assert_eq!(double.asked(), [identity, "POST /"]);
    }
}

/// GKE's Workload Identity: the metadata server.
async fn gke() {
    let cloud = gcp::Cloud::start(0, 3600).await;
    let config = object!({"gcp": {"projects": [gcp::PROJECT], "endpoint": cloud.service.url()}});
    let host = format!("127.0.0.1:{}", cloud.metadata.port);
    assert_eq!(with_environment(&config, "empty", &[("GCE_METADATA_HOST", &host)]).await, Ok(()));
}

/// AKS's Workload Identity: Entra, for the token of the service account.
async fn aks() {
    let azure::Cloud { double: _double, config, identity, files: _files, .. } = azure::Cloud::start(azure::USUAL).await;
    let config = object!({"azure": {"vaults": config.vaults, "endpoint": config.endpoint, "caFile": config.ca_file,
                                    "authority": config.authority}});
    let path = identity.token_file.display().to_string();
    let variables =
        [("AZURE_TENANT_ID", "directory"), ("AZURE_CLIENT_ID", "gateway"), ("AZURE_FEDERATED_TOKEN_FILE", &*path)];
    assert_eq!(with_environment(&config, "empty", &variables).await, Ok(()));
    let lacking = with_environment(&config, "empty", &variables[..2]).await.unwrap_err();
    let said = String::from_utf8_lossy(&lacking.stderr).into_owned() + &String::from_utf8_lossy(&lacking.stdout);
    assert!(said.contains("NoIdentity(\"AZURE_FEDERATED_TOKEN_FILE\")"), "{said}");
}
