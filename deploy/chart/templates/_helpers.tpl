{{/* What all templates share: names, labels, and the facts that the policy's settings imply. */}}

{{/* The name of what belongs to this release; with the chart's name in it, and never longer than a label may be. */}}
{{- define "flyte-secrets-policy.fullname" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) }}
{{- .Values.fullnameOverride | default $name | trunc 45 | trimSuffix "-" }}
{{- end }}

{{/* Labels of every object. Takes root and component. */}}
{{- define "flyte-secrets-policy.labels" -}}
{{ include "flyte-secrets-policy.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Those of them that never change. Takes root and component. */}}
{{- define "flyte-secrets-policy.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* An image by its digest or, without one, by its tag. Takes image, and tag for where it has none. */}}
{{- define "flyte-secrets-policy.image" -}}
{{- .image.repository }}{{ with .image.digest }}@{{ . }}{{ else }}:{{ .image.tag | default .tag }}{{ end }}
{{- end }}

{{/*
What the policy's settings imply, as YAML; the rules are those of README.md, "Settings". Names are read in any case.
  embedded          whether Embedded is among the managers
  provider          where Embedded fetches: K8s, AWS, GCP or Azure
  field             the setting that holds the place
  place             the region, project or host of the vault there
  places            what the gateway calls a list of them
  kind, resource    what the gateway calls its secrets
  cloud             whether Embedded reads through the gateway
  secrets           whether the policy reads Secrets of namespace
  imagePullSecrets  whether it reads them in the namespaces of tasks
  namespace         where Secrets with values are
  gateway           whether the gateway is installed
*/}}
{{- define "flyte-secrets-policy.facts" -}}
{{- $settings := include "flyte-secrets-policy.settings" . | fromYaml }}
{{- $managers := $settings.secretManagerTypes | default (list ($settings.secretManagerType | default "Embedded")) }}
{{- $config := $settings.embeddedSecretManagerConfig | default dict }}
{{- $clouds := dict
  "AWS" (dict "places" "regions" "field" "awsConfig.region" "place" ($config.awsConfig).region)
  "GCP" (dict "places" "projects" "field" "gcpConfig.project" "place" ($config.gcpConfig).project)
  "Azure" (dict "places" "vaults" "field" "azureConfig.vaultURI"
    "place" (($config.azureConfig).vaultURI | default "" | lower | trimPrefix "https://" | trimSuffix "/")) }}
{{- $provider := "K8s" }}
{{- range $name, $cloud := $clouds }}
  {{- if or (eq (lower $name) (lower (toString $config.type))) (and (not $config.type) $cloud.place) }}
    {{- $provider = $name }}
  {{- end }}
{{- end }}
{{- $embedded := has "embedded" (splitList " " (join " " $managers | lower)) }}
{{- $cloud := and $embedded (ne $provider "K8s") }}
{{- $imagePullSecrets := and $embedded (($config.imagePullSecrets).enabled | default false) }}
{{- merge (get $clouds $provider | default dict) (dict
  "embedded" $embedded
  "provider" $provider
  "kind" (printf "%sSecret" $provider)
  "resource" (printf "%ssecrets" (lower $provider))
  "cloud" $cloud
  "secrets" (or $imagePullSecrets (and $embedded (not $cloud)))
  "imagePullSecrets" $imagePullSecrets
  "namespace" (($config.k8sConfig).namespace | default "flyte")
  "gateway" (kindIs "bool" .Values.gateway.enabled | ternary .Values.gateway.enabled $cloud))
  | toYaml }}
{{- end }}

{{/*
The policy's settings: those of the user, and what flyte.version implies for keys that they do not have. A key of tenancy that is
null stays null, which checks nothing. Never a template.
*/}}
{{- define "flyte-secrets-policy.settings" -}}
{{- $flyte := .Values.flyte }}
{{- $settings := deepCopy (.Values.policy.settings | default dict) }}
{{- $managers := list "Embedded" }}
{{- $prefix := "_UNION_" }}
{{- $tenancy := dict
  "namespaceTemplate" $flyte.namespace
  "organizations" (list "flyte")
  "creators" (list (printf "system:serviceaccount:%s:%s" $flyte.namespace $flyte.serviceAccount)) }}
{{- if eq (int $flyte.version) 1 }}
  {{- $managers = list "K8s" }}
  {{- $prefix = "_FSEC_" }}
  {{- $tenancy = dict "namespaceTemplate" "{{ project }}-{{ domain }}" }}
{{- end }}
{{- if not (or $settings.secretManagerTypes $settings.secretManagerType) }}
  {{- $_ := set $settings "secretManagerTypes" $managers }}
{{- end }}
{{- if kindIs "invalid" $settings.secretEnvVarPrefix }}
  {{- $_ := set $settings "secretEnvVarPrefix" $prefix }}
{{- end }}
{{- $embedded := $settings.embeddedSecretManagerConfig | default dict }}
{{- $store := $embedded.k8sConfig | default dict }}
{{- $_ := set $store "namespace" ($store.namespace | default $flyte.namespace) }}
{{- $_ := set $embedded "k8sConfig" $store }}
{{- $_ := set $settings "embeddedSecretManagerConfig" $embedded }}
{{- if $flyte.tenancy }}
  {{- $own := $settings.tenancy | default dict }}
  {{- range $key, $value := $tenancy }}
    {{- if not (hasKey $own $key) }}{{ $_ := set $own $key $value }}{{ end }}
  {{- end }}
  {{- $_ := set $settings "tenancy" $own }}
{{- end }}
{{- toYaml $settings }}
{{- end }}

{{/* Labels of pods that nothing binds, as the policy has it, as a list in YAML: a pod gets the secrets of whatever they claim. */}}
{{- define "flyte-secrets-policy.unboundLabels" -}}
{{- $settings := include "flyte-secrets-policy.settings" . | fromYaml }}
{{- $tenancy := $settings.tenancy | default dict }}
{{- $labels := list }}
{{- range $label, $name := dict "domain" "domain" "organization" "org(anization)?" "project" "project" }}
  {{- $bound := regexMatch (printf "\\{\\{ *%s *\\}\\}" $name) ($tenancy.namespaceTemplate | default "") }}
  {{- if and (eq $label "organization") (kindIs "slice" $tenancy.organizations) }}{{ $bound = true }}{{ end }}
  {{- if not (or $bound (kindIs "slice" $tenancy.creators)) }}{{ $labels = append $labels $label }}{{ end }}
{{- end }}
{{- toYaml $labels }}
{{- end }}

{{/* The gateway's configuration: gateway.config, and what the chart or the policy's settings decide. */}}
{{- define "flyte-secrets-policy.gatewayConfig" -}}
{{- $facts := include "flyte-secrets-policy.facts" . | fromYaml }}
{{- $gateway := .Values.gateway }}
{{- $config := deepCopy ($gateway.config | default dict) }}
{{- $providers := $config.providers | default dict }}
{{- if $facts.cloud }}
  {{- $provider := lower $facts.provider }}
  {{- $served := get $providers $provider | default dict }}
  {{- if not (get $served $facts.places) }}
    {{- $_ := set $served $facts.places (list $facts.place) }}
  {{- else if not (has $facts.place (get $served $facts.places)) }}
    {{- fail (printf "gateway.config.providers.%s.%s: the policy reads from %q; add it, or leave the key out" $provider $facts.places $facts.place) }}
  {{- end }}
  {{- $_ := set $providers $provider $served }}
{{- end }}
{{- range $provider, $places := dict "aws" "regions" "gcp" "projects" "azure" "vaults" }}
  {{- if and (hasKey $providers $provider) (not (get (get $providers $provider) $places)) }}
    {{- fail (printf "gateway.config.providers.%s.%s: is empty; name those that the gateway serves, or leave %s out" $provider $places $provider) }}
  {{- end }}
{{- end }}
{{- if not $providers }}
  {{- fail "gateway.enabled: nothing is configured that the gateway could serve; name places in gateway.config.providers, or a cloud in policy.settings.embeddedSecretManagerConfig" }}
{{- end }}
{{- $_ := set $config "providers" $providers }}
{{- $_ := set $config "listen" (printf "%s:8443" $gateway.bindAddress) }}
{{- if $gateway.metrics.enabled }}{{ $_ := set $config "metricsListen" (printf "%s:9090" $gateway.bindAddress) }}{{ end }}
{{- $_ := set $config "tls" (dict "certFile" "/etc/secret-gateway/tls/tls.crt" "keyFile" "/etc/secret-gateway/tls/tls.key") }}
{{- $_ := set $config "shutdown" (dict
  "delay" (printf "%ds" (int $gateway.shutdown.delaySeconds))
  "grace" (printf "%ds" (int $gateway.shutdown.graceSeconds))) }}
{{- toYaml $config }}
{{- end }}

{{/* The Secret with the gateway's certificate. */}}
{{- define "flyte-secrets-policy.tlsSecretName" -}}
{{- .Values.gateway.tls.secretName | default (printf "%s-tls" .Values.gateway.name) }}
{{- end }}
