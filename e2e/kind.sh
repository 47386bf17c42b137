#!/usr/bin/env bash
# The real Kubewarden on kind: its controller and policy server from their charts, the policy from a registry, the chart of
# this repository, and a pod that compares what it was given. `make e2e-kind` builds what it needs; docker, kind, kubectl,
# helm and kwctl must be there. KEEP=1 leaves the cluster.
set -euo pipefail
cd "$(dirname "$0")/.."

name=flyte-secrets
registry=$name-registry
work=$(mktemp -d)
export KUBECONFIG=$work/kubeconfig
finish() {
  local status=$?
  if [ "$status" != 0 ]; then
    kubectl get clusteradmissionpolicies,pods --all-namespaces --output wide || true
    kubectl logs --namespace kubewarden --selector app.kubernetes.io/component=policy-server --tail 50 || true
  fi
  [ -n "${KEEP:-}" ] || { kind delete cluster --name $name; docker rm --force $registry; } > /dev/null 2>&1
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

kind create cluster --name $name --wait 3m
docker run --detach --name $registry --network kind --publish 127.0.0.1:5001:5000 docker.io/library/registry:2 > /dev/null
echo 'insecure_sources: ["localhost:5001"]' > "$work/sources.yaml"
for _ in $(seq 30); do
  curl --silent --fail http://localhost:5001/v2/ > /dev/null && break
  sleep 1
done
kwctl push --sources-path "$work/sources.yaml" annotated-policy.wasm localhost:5001/flyte-secrets-policy:test

helm repo add --force-update kubewarden https://charts.kubewarden.io
for chart in crds controller; do
  helm install --wait --create-namespace --namespace kubewarden "kubewarden-$chart" "kubewarden/kubewarden-$chart"
done
helm install --wait --namespace kubewarden --set "policyServer.insecureSources[0]=$registry:5000" \
  kubewarden-defaults kubewarden/kubewarden-defaults

kubectl create namespace flyte
kubectl create serviceaccount --namespace flyte flyte-binary
kubectl create clusterrolebinding flyte-binary --clusterrole edit --serviceaccount flyte:flyte-binary
helm install --namespace flyte --set "policy.module=registry://$registry:5000/flyte-secrets-policy:test" \
  flyte-secrets-policy deploy/chart
kubectl wait --timeout 5m --for jsonpath='{.status.policyStatus}'=active clusteradmissionpolicies/flyte-secrets

# The demo's request for `db-password`, in a pod that exits with whether it has the value.
kubectl create secret generic --namespace flyte aa6cd98fdc6ff0dc9df704b013c7b05b \
  --from-literal 'u__org__flyte__domain__development__project__flytesnacks__key__db-password=correct horse battery staple'
kubectl create --as system:serviceaccount:flyte:flyte-binary --filename - <<'END'
apiVersion: v1
kind: Pod
metadata:
  name: task
  namespace: flyte
  labels: {inject-flyte-secrets: "true", organization: flyte, domain: development, project: flytesnacks}
  annotations:
    flyte.secrets/s0: nnsxsoraejsgellqmfzxg42pojscectnn41w34c6ojsxc4ljojsw1zlooq4carkokzpvmqksbjsw34s6ozqxeoraejceex1qifjvgv1pkjccecq
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: docker.io/library/busybox:1.37
      command: [sh, -c, '[ "$DB_PASSWORD" = "correct horse battery staple" ]']
END
kubectl wait --namespace flyte --timeout 2m --for jsonpath='{.status.phase}'=Succeeded pod/task

# A request that cannot be met is rejected with the policy's words.
if kubectl run --as system:serviceaccount:flyte:flyte-binary --namespace flyte --image busybox rejected \
  --labels inject-flyte-secrets=true,organization=flyte,domain=development,project=flytesnacks \
  --annotations flyte.secrets/s0=invalid 2> "$work/rejection"; then
  echo "the pod with an invalid request was created"
  exit 1
fi
grep --max-count 1 flyte.secrets/s0 "$work/rejection"
echo "the real Kubewarden injects and rejects"
