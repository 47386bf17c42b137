{{/*
Checks across values. Types, keys and patterns are the schema's; what neither sees of the policy's settings, the policy
rejects when it starts.
*/}}
{{- define "flyte-secrets-policy.check" -}}
{{- $facts := include "flyte-secrets-policy.facts" . | fromYaml }}
{{- $policy := .Values.policy }}
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
{{- if and $facts.imagePullSecrets .Values.policyServer.rbac.create (not $policy.imagePullSecretNamespaces) }}
  {{- fail "policy.imagePullSecretNamespaces: required with imagePullSecrets.enabled; list the namespaces of task pods, or set policyServer.rbac.create to false and grant access yourself" }}
{{- end }}
{{- end }}
