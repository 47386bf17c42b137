# What both demos begin with: AWS, played by moto, and a stand-in for the API server, with the demo's secrets stored.
#
# Sourced with the folder of what was built and moto's. Sets `work`, a folder that goes at the end, and the free ports `port` (moto's),
# `gateway` and `pods`.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

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

# The gateway at work, with a configuration that the demo adds to.
start_gateway() {
  cat > "$work/gateway.yaml" <<END
listen: 127.0.0.1:$gateway
tls: { certFile: $work/tls.crt, keyFile: $work/tls.key }
access: { kubeconfig: $work/kubeconfig }
providers:
  aws: { regions: [eu-west-1], endpoint: "http://127.0.0.1:$port" }
shutdown: { delay: 0s }
$1
END
  "$build/secret-gateway" --config "$work/gateway.yaml" > "$work/audit.log" 2> "$work/gateway.log" &
  wait_for "the gateway" answers "https://127.0.0.1:$gateway/readyz"
}

# The gateway gathers lines for a moment before it writes them.
print_audit_log() {
  heading "the gateway's audit log"
  wait_for "the audit log" test -s "$work/audit.log"
  cat "$work/audit.log"
}

export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo AWS_DEFAULT_REGION=eu-west-1

# Free ports, told apart by being taken at the same time.
read -r port gateway pods < <(python3 -c 'import socket
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(socket.getsockname()[1] for socket in taken))')
"$moto/bin/moto_server" --port "$port" > "$work/moto.log" 2>&1 &
"$build/examples/stand-in-cluster" "$work" "127.0.0.1:$gateway" > "$work/cluster.log" 2>&1 &
wait_for "moto" answers "http://127.0.0.1:$port/moto-api/"
wait_for "the stand-in for the API server" test -s "$work/kubeconfig"

heading "secrets in AWS Secrets Manager: two of the project's, one of the domain's"
"$moto/bin/python" gateway/demo/store.py "http://127.0.0.1:$port"
