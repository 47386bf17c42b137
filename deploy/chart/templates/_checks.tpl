{{/* Checks across values; types, keys and patterns are the schema's. The policy rejects other invalid settings when it starts. */}}
{{- define "flyte-secrets-policy.check" -}}
{{- $facts := include "flyte-secrets-policy.facts" . | fromYaml }}
{{- $policy := .Values.policy }}
{{- if and $facts.pull $facts.obstacle }}
  {{- fail (printf "delivery: Pull %s" $facts.obstacle) }}
{{- end }}
{{- if and $facts.embedded (eq $policy.mode "monitor") }}
  {{- fail "policy.mode: monitor with Embedded would log secret values in the policy server and change no pod; use protect, or managers without Embedded" }}
{{- end }}
{{- if gt (int $policy.timeoutEvalSeconds) (int $policy.timeoutSeconds) }}
  {{- fail (printf "policy.timeoutEvalSeconds: %d exceeds policy.timeoutSeconds, %d; lower it or raise policy.timeoutSeconds" (int $policy.timeoutEvalSeconds) (int $policy.timeoutSeconds)) }}
{{- end }}
{{- if and $facts.cloud (not $facts.place) }}
  {{- fail (printf "policy.settings.embeddedSecretManagerConfig.%s: required with type %s" $facts.field $facts.provider) }}
{{- end }}
{{- $needed := dict "k8sSecretManager.verify" $facts.verify
  "imagePullSecrets.enabled" (and $facts.imagePullSecrets (not $policy.imagePullSecretNamespaces)) }}
{{- range $setting, $needed := $needed }}
  {{- if and $needed $.Values.policyServer.rbac.create (not $facts.taskNamespaces) }}
    {{- fail (printf "flyte.taskNamespaces: required with %s; list the namespaces of task pods, or set policyServer.rbac.create to false and grant access yourself" $setting) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What is in the way of delivery by Pull: what follows the words "delivery: Pull". Takes root, and the policy's settings. */}}
{{- define "flyte-secrets-policy.pullObstacle" -}}
{{- $values := .root.Values }}
{{- $policy := $values.policy }}
{{- $config := .settings.embeddedSecretManagerConfig }}
{{- $why := "a pod that the policy does not judge could grant itself secrets" }}
{{- if semverCompare "<1.35.0-0" .root.Capabilities.KubeVersion.Version }}
  {{- printf "requires Kubernetes 1.35, this is %s; set delivery to Auto, or name the cluster's version to helm template by --kube-version" .root.Capabilities.KubeVersion.Version }}
{{- else if ($config.imagePullSecrets).enabled }}
  {{- print "does not support embeddedSecretManagerConfig.imagePullSecrets.enabled, because the policy reads no Secret; disable it" }}
{{- else if or (ne $policy.mode "protect") (ne $policy.failurePolicy "Fail") }}
  {{- printf "requires policy.mode: protect and policy.failurePolicy: Fail; %s" $why }}
{{- else if $policy.objectSelector }}
  {{- printf "does not support policy.objectSelector; %s" $why }}
{{- else if and $policy.namespaceSelector (not (.settings.tenancy | default dict).namespaceTemplate) }}
  {{- printf "requires tenancy.namespaceTemplate with policy.namespaceSelector; %s" $why }}
{{- else if and (eq (toString $values.gateway.enabled) "false") (not (and ($config.pull).gateway ($config.pull).ca)) }}
  {{- print "requires embeddedSecretManagerConfig.pull.gateway and pull.ca with gateway.enabled: false; set them to the address and the authority of the other release's gateway" }}
{{- else if and $values.gateway.tls.certManager.enabled (not ($config.pull).ca) }}
  {{- printf "requires embeddedSecretManagerConfig.pull.ca with gateway.tls.certManager.enabled; set it to ca.crt of Secret %s" (include "flyte-secrets-policy.tlsSecretName" .root) }}
{{- end }}
{{- end }}
