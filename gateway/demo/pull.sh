#!/usr/bin/env bash
# A pod that pulls, end to end: the policy grants, the gateway reads from moto's AWS, and the puller writes what the task gets.
#
# Called by `make demo-pull`, which has built what it runs.
set -euo pipefail
source "$(dirname "$0")/common.sh" "$@"

# One file for the policy and for the gateway.
cat > "$work/settings.yaml" <<END
secretManagerTypes: [Embedded]
embeddedSecretManagerConfig:
  type: AWS
  awsConfig: { region: eu-west-1 }
  delivery: Pull
  lookup: "Off"
  pull:
    gateway: https://localhost:$pods
    ca: |
$(sed 's/^/      /' "$work/ca.crt")
END
start_gateway "pods:
  listen: 127.0.0.1:$pods
  settings:
$(sed 's/^/    /' "$work/settings.yaml")"

sed 's/organization: flyte$/organization: acme/' xtask/demo/pod.yaml > "$work/task.yaml"
"$build/flyte-secrets" preview --file "$work/task.yaml" --settings "$work/settings.yaml" --output json > "$work/pod.json"

heading "the pod's init container, as the policy writes it"
python3 - "$work" "$(sed -n 's/.*server: "\(.*\)" .*/\1/p' "$work/kubeconfig")" <<'END'
import json, sys, urllib.request as request
work, server = sys.argv[1:]
pod = json.load(open(f"{work}/pod.json"))
pod = pod["items"][0] if pod.get("kind") == "List" else pod
json.dump(pod, open(f"{work}/pod.json", "w"))
ours = pod["spec"]["initContainers"][0]
print(json.dumps([arg if len(arg) < 100 else arg[:20] + "…" for arg in ours["args"]], indent=2))
open(f"{work}/args", "w").write("\0".join(ours["args"]))
name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
url = f"{server}/api/v1/namespaces/{namespace}/pods"
request.urlopen(request.Request(url, json.dumps(pod).encode(), {"content-type": "application/json"}))
open(f"{work}/token", "w").write(name)
END

heading "the puller"
root=$work/root
mkdir -p "$root/etc/flyte/secrets" "$root/run/flyte/secrets-env" "$root/run/flyte/secrets-token"
cp "$work/token" "$root/run/flyte/secrets-token/token"
mapfile -d '' -t args < "$work/args"
FLYTE_SECRETS_PULL_ROOT=$root "$build/flyte-secrets-pull" "${args[@]}"

heading "the folder of files, and the file of which the kubelet makes variables"
(cd "$root" && tail -n +1 etc/flyte/secrets/* run/flyte/secrets-env/env)

print_audit_log

heading "values in the pod, the audit log and the gateway's log"
values=(-e 'correct horse' -e MIIB -e xoxb-demo -e "$(printf 'correct horse' | base64 | cut -c1-14)" -e "$(printf xoxb-demo | base64)")
grep -q -F "${values[@]}" "$root/run/flyte/secrets-env/env" || { echo "the search finds nothing where they are"; exit 1; }
! grep -F "${values[@]}" "$work/pod.json" "$work/audit.log" "$work/gateway.log" || exit 1
echo none
