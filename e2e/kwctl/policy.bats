#!/usr/bin/env bats
# The annotated policy in kwctl: what an API server gets to see, whole.
#
# data/ holds admission requests, whose pods ask for what stands above the tests; replay/ what the cluster answers, call
# by call; patches.json the JSON patches that must come out. They are run by `make e2e-tests`.

bats_require_minimum_version 1.5.0

setup_file() {
  cd "$BATS_TEST_DIRNAME/../.."
  command -v kwctl > /dev/null ||
    { echo "kwctl is missing: https://github.com/kubewarden/adm-controller/releases" >&2; return 1; }
  command -v jq > /dev/null || { echo "jq is missing: apt-get install jq" >&2; return 1; }
  [ -f annotated-policy.wasm ] || { echo "annotated-policy.wasm is missing: make annotated-policy.wasm" >&2; return 1; }
}

setup() {
  cd "$BATS_TEST_DIRNAME/../.."
  export RUST_BACKTRACE=0
}

# run_policy REQUEST SETTINGS [FLAG...]: kwctl's words in $output and $stderr.
run_policy() {
  local request=$1 settings=$2
  shift 2
  run --separate-stderr kwctl --no-color run "$@" -r "e2e/kwctl/data/$request.json" --settings-json "$settings" \
    annotated-policy.wasm
}

# admit REQUEST SETTINGS [REPLAY]: the policy's answer in $answer, its patch decoded. With a replay file, the policy
# must make exactly the calls that are in it.
admit() {
  local flags=()
  [ -z "${3-}" ] || flags=(--allow-context-aware --replay-host-capabilities-interactions "e2e/kwctl/replay/$3.yml")
  run_policy "$1" "$2" "${flags[@]}"
  if [ "$status" -ne 0 ] || [[ $stderr == *"have not been replayed"* ]]; then
    echo "$stderr"
    return 1
  fi
  answer=$(jq '.patch |= (if . then @base64d | fromjson else . end)
    | {allowed, status, patch, auditAnnotations, warnings}' <<< "$output")
}

# is JSON: the whole answer; keys in any order.
is() {
  local found wanted
  found=$(jq --sort-keys . <<< "$answer")
  wanted=$(jq --sort-keys . <<< "$1")
  diff -u --label wanted --label found <(echo "$wanted") <(echo "$found")
}

# mutates PATCH AUDIT: the patch is that of this name, and the audit annotation says this.
mutates() {
  is "$(jq --arg name "$1" --arg secrets "$2" \
    '{allowed: true, status: null, patch: .[$name], auditAnnotations: {$secrets}, warnings: null}' e2e/kwctl/patches.json)"
}

# rejects CODE MESSAGE: no patch, nothing in the audit.
rejects() {
  is "$(jq --null-input --argjson code "$1" --arg message "$2" \
    '{allowed: false, status: {$code, $message}, patch: null, auditAnnotations: null, warnings: null}')"
}

# refuses SETTINGS MESSAGE: the policy does not start.
refuses() {
  run_policy embedded "$1"
  [ "$status" -ne 0 ]
  [ -z "$output" ]
  diff -u <(echo "Error: Provided settings are not valid: $2") <(grep '^Error: ' <<< "$stderr")
}

# group: "db" key: "password" mount_requirement: ENV_VAR env_var: "DB_PASSWORD"
@test "K8s: a variable, under Flyte's name and the task's" {
  admit k8s-env '{"secretManagerTypes": ["K8s"]}'
  mutates k8s-env 'flyte.secrets/s0: K8s db/password'
}

# group: "db" key: "password" mount_requirement: FILE
@test "K8s: a file" {
  admit k8s-file '{"secretManagerTypes": ["K8s"]}'
  mutates k8s-file 'flyte.secrets/s0: K8s db/password'
}

# group: "kv/data/db" group_version: "kv2" key: "password" mount_requirement: FILE
@test "Vault: annotations for the agent" {
  admit vault '{"secretManagerTypes": ["Vault"], "vaultSecretManager": {"role": "task"}}'
  mutates vault 'flyte.secrets/s0: Vault kv/data/db/password'
}

# group: "arn:aws:secretsmanager:us-west-2:123456789012:secret:db-AbCdEf:" key: "Password" mount_requirement: FILE
@test "AWS: a sidecar" {
  admit aws '{"secretManagerTypes": ["AWS"]}'
  mutates aws 'flyte.secrets/s0: AWS arn:aws:secretsmanager:us-west-2:123456789012:secret:db-AbCdEf:Password'
}

# group: "db-password" group_version: "3" mount_requirement: FILE
@test "GCP: a sidecar" {
  admit gcp '{"secretManagerTypes": ["GCP"]}'
  mutates gcp 'flyte.secrets/s0: GCP db-password/versions/3'
}

# group: "https://acme.vault.azure.net/secrets/db-password" group_version: "0123456789abcdef0123456789abcdef"
# mount_requirement: FILE
@test "Azure: a sidecar" {
  admit azure '{"secretManagerTypes": ["Azure"]}'
  mutates azure 'flyte.secrets/s0: Azure https://acme.vault.azure.net/secrets/db-password/0123456789abcdef0123456789abcdef'
}

# The requests below: key: "db-password" mount_requirement: ENV_VAR env_var: "DB_PASSWORD"
@test "Embedded: a variable, from the project's Secret" {
  admit embedded '{}' project-scope
  mutates embedded 'flyte.secrets/s0: Embedded u__org__acme__domain__development__project__flytesnacks__key__db-password (Secret flyte/2de57698649fec67c9a631507d836af5)'
}

@test "Embedded: the project has no such secret, its domain has" {
  admit embedded '{}' domain-scope
  mutates embedded 'flyte.secrets/s0: Embedded u__org__acme__domain__development__project____key__db-password (Secret flyte/c6fa8bb6290f72fcc30d645539c753f9)'
}

# key: "tls.crt" mount_requirement: FILE env_var: "TLS_CERT"
@test "Embedded: a file, and a variable with its path" {
  admit embedded-file '{}' project-scope-file
  mutates embedded-file 'flyte.secrets/s0: Embedded u__org__acme__domain__development__project__flytesnacks__key__tls.crt (Secret flyte/105f710f56c4562346e8e7245fc2239b)'
}

@test "Embedded from AWS, through the gateway" {
  admit embedded '{"embeddedSecretManagerConfig": {"type": "AWS", "awsConfig": {"region": "us-west-2"}}}' aws-gateway
  mutates embedded 'flyte.secrets/s0: Embedded u__org__acme__domain__development__project__flytesnacks__key__db-password (AWSSecret in us-west-2)'
}

@test "Embedded from GCP, through the gateway, as bytes" {
  admit embedded '{"embeddedSecretManagerConfig": {"type": "GCP", "gcpConfig": {"project": "acme-prod"}}}' gcp-gateway
  mutates embedded 'flyte.secrets/s0: Embedded u__org__acme__domain__development__project__flytesnacks__key__db-password (GCPSecret in acme-prod)'
}

@test "Embedded from Azure, through the gateway, from the domain's scope" {
  admit embedded \
    '{"embeddedSecretManagerConfig": {"type": "Azure", "azureConfig": {"vaultURI": "https://acme.vault.azure.net/"}}}' \
    azure-gateway
  mutates embedded 'flyte.secrets/s0: Embedded 1-acme-development--MRRC24DBONZXO33SMQ (AzureSecret in acme.vault.azure.net)'
}

@test "rejected: in no scope, with all names that were looked up" {
  admit embedded '{}' no-scope
  rejects 400 'SecretNotFound: secret "db-password" (annotation flyte.secrets/s0) cannot be injected: Embedded: not found; looked up u__org__acme__domain__development__project__flytesnacks__key__db-password (Secret flyte/2de57698649fec67c9a631507d836af5), u__org__acme__domain__development__project____key__db-password (Secret flyte/c6fa8bb6290f72fcc30d645539c753f9), u__org__acme__domain__development__key__db-password (Secret flyte/3cac8e7829cc721fc797c5a5ba5a51ca), u__org__acme__domain____project____key__db-password (Secret flyte/78176712e88a3906e7e7b17e1ab0e6b9), u__org__acme__key__db-password (Secret flyte/d9b154bbde4a9d3d0a9ce6300bc66807); store it under one of these names'
}

@test "rejected: the API server forbids the read, which the operator must change" {
  admit embedded '{}' forbidden
  rejects 503 'AccessDenied: secret "db-password" (annotation flyte.secrets/s0) cannot be injected: Embedded: Secret flyte/2de57698649fec67c9a631507d836af5 could not be read: forbidden for the policy server'\''s service account; ask the operator to grant the verb get on it'
}

@test "rejected: Kubewarden has not granted the read" {
  admit embedded '{}'
  rejects 503 'AccessDenied: secret "db-password" (annotation flyte.secrets/s0) cannot be injected: Embedded: Secret flyte/2de57698649fec67c9a631507d836af5 could not be read: the policy has no access to this resource; ask the operator to allow the host capability kubernetes/get_resource and to list the resource in contextAwareResources'
}

@test "a pod without the label stays as it is" {
  admit without-label '{}'
  is '{
    "allowed": true, "status": null, "patch": null, "auditAnnotations": null,
    "warnings": ["pod has secret requests but gets no secrets: missing label inject-flyte-secrets: \"true\""]
  }'
}

@test "settings: an unknown key" {
  refuses '{"embeddedSecretManagerConfig": {"awsConfig": {"regoin": "us-west-2"}}}' \
    'InvalidSettings: unknown field `embeddedSecretManagerConfig.awsConfig.regoin`, did you mean `region`?'
}

@test "settings: an unknown manager" {
  refuses '{"secretManagerTypes": ["Doppler"]}' \
    'InvalidSettings: `secretManagerTypes[0]`: unknown value "Doppler", expected one of K8s, AWS, GCP, Azure, Vault, Embedded, Global'
}
