#!/usr/bin/env bash
# AWS, the gateway and the policy, end to end: moto plays AWS Secrets Manager, and a stand-in the API server, whose
# aggregation layer hands the policy's reads on to the gateway.
#
# Called by `make demo-gateway`, which has built what it runs.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$1
moto=$2
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT

heading() { printf '\n\033[1;36m── %s\033[0m\n\n' "$1"; }

# Waits until a command succeeds; what does not within half a minute never will.
wait_for() {
  for _ in $(seq 150); do
    "${@:2}" > /dev/null 2>&1 && return
    sleep 0.2
  done
  echo "$1 does not start; its log:" >&2
  cat "$work"/*.log >&2
  exit 1
}

answers() {
  python3 -c 'import ssl, sys, urllib.request as u; u.urlopen(sys.argv[1], context=ssl._create_unverified_context())' "$1"
}

export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo AWS_DEFAULT_REGION=eu-west-1

# Two free ports, told apart by being taken at the same time.
read -r port gateway < <(python3 -c 'import socket
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(socket.getsockname()[1] for socket in taken))')
"$moto/bin/moto_server" --port "$port" > "$work/moto.log" 2>&1 &
"$build/examples/stand-in-cluster" "$work" "127.0.0.1:$gateway" > "$work/cluster.log" 2>&1 &
wait_for "moto" answers "http://127.0.0.1:$port/moto-api/"
wait_for "the stand-in for the API server" test -s "$work/kubeconfig"

heading "secrets in AWS Secrets Manager: two of the project's, one of the domain's"
"$moto/bin/python" gateway/demo/store.py "http://127.0.0.1:$port"

cat > "$work/gateway.yaml" <<END
listen: 127.0.0.1:$gateway
tls: { certFile: $work/tls.crt, keyFile: $work/tls.key }
access: { kubeconfig: $work/kubeconfig }
providers:
  aws: { regions: [eu-west-1], endpoint: "http://127.0.0.1:$port" }
shutdown: { delay: 0s }
END
"$build/secret-gateway" --config "$work/gateway.yaml" > "$work/audit.log" 2> "$work/gateway.log" &
wait_for "the gateway" answers "https://127.0.0.1:$gateway/readyz"

export KUBECONFIG=$work/kubeconfig
"$build/e2e" --demo gateway/demo/pod.yaml gateway/demo/settings.yaml

heading "the gateway's audit log"
cat "$work/audit.log"
