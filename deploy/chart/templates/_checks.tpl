{{/*
Checks across values. Types, keys and patterns are the schema's; what neither sees of the policy's settings, the policy
rejects when it starts.
*/}}
{{- define "flyte-secrets-policy.check" -}}
{{- $facts := include "flyte-secrets-policy.facts" . | fromYaml }}
{{- $policy := .Values.policy }}
{{- if $facts.pull }}
  {{- $delivery := "delivery: Pull" }}
  {{- if semverCompare "<1.35.0-0" .Capabilities.KubeVersion.Version }}
    {{- fail (printf "policy.settings.embeddedSecretManagerConfig.delivery: Pull requires Kubernetes 1.35, this is %s; use Auto, or tell helm template of the cluster's version by --kube-version" .Capabilities.KubeVersion.Version) }}
  {{- end }}
  {{- if $facts.imagePullSecrets }}
    {{- fail (printf "policy.settings.embeddedSecretManagerConfig.imagePullSecrets.enabled: not supported with %s, where the policy reads no Secret" $delivery) }}
  {{- end }}
  {{- /* A pod that the policy has not judged could bring a grant of its own. */}}
  {{- if or (ne $policy.mode "protect") (ne $policy.failurePolicy "Fail") }}
    {{- fail (printf "policy.mode, policy.failurePolicy: must be protect and Fail with %s; a pod that the policy does not judge could grant itself secrets" $delivery) }}
  {{- end }}
  {{- if $policy.objectSelector }}
    {{- fail (printf "policy.objectSelector: not supported with %s; a pod that the policy does not judge could grant itself secrets" $delivery) }}
  {{- end }}
  {{- $template := ((include "flyte-secrets-policy.ownSettings" . | fromYaml).tenancy | default dict).namespaceTemplate }}
  {{- if and $policy.namespaceSelector (not $template) }}
    {{- fail (printf "policy.namespaceSelector: requires tenancy.namespaceTemplate with %s; a pod in another namespace could grant itself secrets" $delivery) }}
  {{- end }}
{{- end }}
{{- if and $facts.embedded (eq $policy.mode "monitor") }}
  {{- fail "policy.mode: monitor with Embedded would log secret values in the policy server and change no pod; use protect, or managers without Embedded" }}
{{- end }}
{{- with $policy.timeoutEvalSeconds }}
  {{- if gt (int .) (int $policy.timeoutSeconds) }}
    {{- fail (printf "policy.timeoutEvalSeconds: %d exceeds policy.timeoutSeconds, %d; lower it or raise policy.timeoutSeconds" (int .) (int $policy.timeoutSeconds)) }}
  {{- end }}
{{- end }}
{{- if and $facts.cloud (not $facts.place) }}
  {{- fail (printf "policy.settings.embeddedSecretManagerConfig.%s: required with type %s" $facts.field $facts.provider) }}
{{- end }}
{{- if and .Values.policyServer.rbac.create (not $facts.taskNamespaces) }}
  {{- $remedy := "list the namespaces of task pods, or set policyServer.rbac.create to false and grant access yourself" }}
  {{- if and $facts.imagePullSecrets (not $policy.imagePullSecretNamespaces) }}
    {{- fail (printf "flyte.taskNamespaces: required with imagePullSecrets.enabled; %s" $remedy) }}
  {{- end }}
  {{- if $facts.verify }}
    {{- fail (printf "flyte.taskNamespaces: required with k8sSecretManager.verify; %s" $remedy) }}
  {{- end }}
{{- end }}
{{- end }}
