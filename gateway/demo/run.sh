#!/usr/bin/env bash
# AWS, the gateway and the policy, end to end: moto plays AWS Secrets Manager, and a stand-in the API server, whose
# aggregation layer hands the policy's reads on to the gateway.
#
# Called by `make demo-gateway`, which has built what it runs.
set -euo pipefail
source "$(dirname "$0")/common.sh" "$@"

start_gateway ""
export KUBECONFIG=$work/kubeconfig
"$build/e2e" --demo gateway/demo/pod.yaml gateway/demo/settings.yaml

print_audit_log
