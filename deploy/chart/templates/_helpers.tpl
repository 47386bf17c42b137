{{/* What all templates share: names, labels, and the facts that the policy's settings imply. */}}

{{/* Name for the objects of this release: contains the chart's name, and fits into a label. */}}
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

{{/* Labels that never change, for selectors. Takes root and component. */}}
{{- define "flyte-secrets-policy.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Image reference by digest or, without one, by tag. Takes image, and tag as the default tag. */}}
{{- define "flyte-secrets-policy.image" -}}
{{- .image.repository }}{{ with .image.digest }}@{{ . }}{{ else }}:{{ .image.tag | default .tag }}{{ end }}
{{- end }}

{{/* Names of the PolicyServer and of its service account, as YAML. */}}
{{- define "flyte-secrets-policy.policyServer" -}}
{{- $server := .Values.policyServer }}
{{- $name := $server.name | default ($server.create | ternary "flyte-secrets" "default") }}
{{- dict "name" $name "account" ($server.serviceAccount.name
  | default ($server.create | ternary (printf "policy-server-%s" $name) "policy-server")) | toYaml }}
{{- end }}

{{/*
Fails if an object of the whole cluster belongs to another release, whose uninstall would remove it. Takes root, apiVersion,
kind, name, and remedy.
*/}}
{{- define "flyte-secrets-policy.own" -}}
{{- if .root.Capabilities.APIVersions.Has .apiVersion }}
  {{- $annotations := ((lookup .apiVersion .kind "" .name).metadata).annotations | default dict }}
  {{- $owner := printf "%s/%s" (index $annotations "meta.helm.sh/release-namespace") (index $annotations "meta.helm.sh/release-name") }}
  {{- if and (hasKey $annotations "meta.helm.sh/release-name") (ne $owner (printf "%s/%s" .root.Release.Namespace .root.Release.Name)) }}
    {{- fail (printf "%s %s: belongs to release %s; %s" .kind .name $owner .remedy) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
What the policy's settings imply, as YAML; the rules are those of README.md, "Settings". Names are read in any case.
  delivery          how values reach tasks [default: Pull if the gateway is installed and no value rules it out]
  obstacle          what rules Pull out, as the predicate of a sentence
  embedded          whether Embedded is among the managers
  provider          store of Embedded, such as K8s
  field             the setting that holds the place
  place             the region, project or host of the vault there
  places            what the gateway calls a list of them
  kind, resource    what the gateway calls its secrets
  cloud             whether Embedded reads from a cloud
  pull              whether pods pull from the gateway, and the policy reads no value
  values            whether the policy reads values of the gateway
  lookups           whether it reads SecretLookups of the gateway
  kubernetes        whether values are in Secrets of namespace
  store             whether it reads values in Secrets of namespace
  secrets           whether it reads Secrets of namespace at all
  imagePullSecrets  whether it reads Secrets that pull images in the namespaces of tasks
  verify            whether it looks for the Secrets of the manager K8s in the namespaces of tasks
  audience          audience of the tokens with which pods pull
  namespace         where Secrets with values are
  taskNamespaces    where tasks are; empty if that is not known
  gateway           whether the gateway is installed
*/}}
{{- define "flyte-secrets-policy.facts" -}}
{{- $settings := include "flyte-secrets-policy.ownSettings" . | fromYaml }}
{{- $managers := $settings.secretManagerTypes | default (list ($settings.secretManagerType | default "Embedded")) }}
{{- $config := $settings.embeddedSecretManagerConfig | default dict }}
{{- $namespace := ($config.k8sConfig).namespace | default "flyte" }}
{{- $providers := include "flyte-secrets-policy.providers" . | fromYaml }}
{{- $provider := "K8s" }}
{{- range $name, $facts := $providers }}
  {{- $setting := splitList "." $facts.field }}
  {{- $place := get (get $config (first $setting) | default dict) (last $setting) | default "" }}
  {{- $_ := set $facts "place" ($place | lower | trimPrefix "https://" | trimSuffix "/") }}
  {{- if or (eq (lower $name) (lower (toString $config.type))) (and (ne $name "K8s") (not $config.type) $place) }}
    {{- $provider = $name }}
  {{- end }}
{{- end }}
{{- $_ := set $providers.K8s "place" $namespace }}
{{- $managers = splitList " " (join " " $managers | lower) }}
{{- $embedded := has "embedded" $managers }}
{{- $cloud := and $embedded (ne $provider "K8s") }}
{{- $gateway := kindIs "bool" .Values.gateway.enabled | ternary .Values.gateway.enabled $cloud }}
{{- $obstacle := include "flyte-secrets-policy.pullObstacle" (dict "root" . "settings" $settings) }}
{{- $delivery := $config.delivery | default (and $gateway (not $obstacle) | ternary "Pull" "Auto") }}
{{- $pull := and $embedded (eq (lower $delivery) "pull") }}
{{- $lookups := $pull | ternary (ne (lower (toString $config.lookup)) "off") $cloud }}
{{- $store := and $embedded (not (or $cloud $pull)) }}
{{- $imagePullSecrets := and $embedded (($config.imagePullSecrets).enabled | default false) }}
{{- /* A template without placeholders is the only namespace whose pods get secrets. */}}
{{- $template := ($settings.tenancy).namespaceTemplate | default "" }}
{{- $bound := or (not $template) (contains "{{" $template) | ternary list (list $template) }}
{{- merge (get $providers $provider) (dict
  "delivery" $delivery
  "obstacle" $obstacle
  "embedded" $embedded
  "provider" $provider
  "kind" (printf "%sSecret" $provider)
  "resource" (printf "%ssecrets" (lower $provider))
  "cloud" $cloud
  "pull" $pull
  "values" (and $cloud (not $pull))
  "lookups" $lookups
  "kubernetes" (and $embedded (not $cloud))
  "store" $store
  "secrets" (or $imagePullSecrets $store)
  "imagePullSecrets" $imagePullSecrets
  "verify" (and (has "k8s" $managers) (($settings.k8sSecretManager).verify | default false))
  "audience" (($config.pull).audience | default "secret-gateway.flyte.org")
  "namespace" $namespace
  "taskNamespaces" (.Values.flyte.taskNamespaces | default $bound)
  "gateway" (kindIs "bool" .Values.gateway.enabled | ternary $gateway (or $gateway $pull)))
  | toYaml }}
{{- end }}

{{/* The policy's settings, with what the chart knows of the gateway that pods pull from. */}}
{{- define "flyte-secrets-policy.settings" -}}
{{- $facts := include "flyte-secrets-policy.facts" . | fromYaml }}
{{- $settings := include "flyte-secrets-policy.ownSettings" . | fromYaml }}
{{- if $facts.pull }}
  {{- $embedded := set $settings.embeddedSecretManagerConfig "delivery" $facts.delivery }}
  {{- $pull := $embedded.pull | default dict }}
  {{- if not $pull.gateway }}
    {{- $_ := set $pull "gateway" (printf "https://%s:8444" (include "flyte-secrets-policy.podsHost" .)) }}
  {{- end }}
  {{- if not $pull.ca }}
    {{- $made := .Values.gateway.tls.caBundle | empty | ternary (include "flyte-secrets-policy.certificate" . | fromYaml) dict }}
    {{- $_ := set $pull "ca" (.Values.gateway.tls.caBundle | default (get $made "ca.crt" | b64dec)) }}
  {{- end }}
  {{- if not $pull.image }}
    {{- $_ := set $pull "image" (include "flyte-secrets-policy.image" (dict "image" .Values.pull.image "tag" (printf "v%s" .Chart.AppVersion))) }}
  {{- end }}
  {{- $_ := set $embedded "pull" $pull }}
{{- end }}
{{- toYaml $settings }}
{{- end }}

{{/*
The policy's settings: those of the user, with defaults by flyte.version. A key of tenancy that is null stays null, which disables
the check. Values are never evaluated as templates.
*/}}
{{- define "flyte-secrets-policy.ownSettings" -}}
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
{{- with $embedded.delivery | default .Values.delivery }}{{ $_ := set $embedded "delivery" . }}{{ end }}
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

{{/* Labels that tenancy does not verify, by the policy's rules, as a list in YAML. */}}
{{- define "flyte-secrets-policy.unboundLabels" -}}
{{- $settings := include "flyte-secrets-policy.ownSettings" . | fromYaml }}
{{- $tenancy := $settings.tenancy | default dict }}
{{- $labels := list }}
{{- range $label, $name := dict "domain" "domain" "organization" "org(anization)?" "project" "project" }}
  {{- $bound := regexMatch (printf "\\{\\{ *%s *\\}\\}" $name) ($tenancy.namespaceTemplate | default "") }}
  {{- if and (eq $label "organization") (kindIs "slice" $tenancy.organizations) }}{{ $bound = true }}{{ end }}
  {{- if not (or $bound (kindIs "slice" $tenancy.creators)) }}{{ $labels = append $labels $label }}{{ end }}
{{- end }}
{{- toYaml $labels }}
{{- end }}

{{/* The gateway's configuration: gateway.config, with the values that the chart or the policy's settings imply. */}}
{{- define "flyte-secrets-policy.gatewayConfig" -}}
{{- $facts := include "flyte-secrets-policy.facts" . | fromYaml }}
{{- $gateway := .Values.gateway }}
{{- $config := deepCopy ($gateway.config | default dict) }}
{{- $providers := $config.providers | default dict }}
{{- if or $facts.cloud $facts.pull }}
  {{- $provider := lower $facts.provider }}
  {{- $served := get $providers $provider | default dict }}
  {{- if not (get $served $facts.places) }}
    {{- $_ := set $served $facts.places (list $facts.place) }}
  {{- else if not (has $facts.place (get $served $facts.places)) }}
    {{- fail (printf "gateway.config.providers.%s.%s: missing %q, from which the policy reads; add it or omit the key" $provider $facts.places $facts.place) }}
  {{- end }}
  {{- $_ := set $providers $provider $served }}
{{- end }}
{{- range $name, $known := include "flyte-secrets-policy.providers" . | fromYaml }}
  {{- $provider := lower $name }}
  {{- if and (hasKey $providers $provider) (not (get (get $providers $provider) $known.places)) }}
    {{- fail (printf "gateway.config.providers.%s.%s: must not be empty; list what the gateway serves, or omit %s" $provider $known.places $provider) }}
  {{- end }}
{{- end }}
{{- if not $providers }}
  {{- fail "gateway.config.providers: required with gateway.enabled; set it, or a cloud in policy.settings.embeddedSecretManagerConfig" }}
{{- end }}
{{- $_ := set $config "providers" $providers }}
{{- /* Names of other organizations are not served; an organization's name is encoded as the policy does. */}}
{{- $organizations := ((include "flyte-secrets-policy.ownSettings" . | fromYaml).tenancy | default dict).organizations }}
{{- $prefixes := $config.prefixes | default dict }}
{{- range $provider, $_ := $providers }}
  {{- if and $organizations (not (hasKey $prefixes $provider)) }}
    {{- $served := list }}
    {{- range $organizations }}
      {{- $served = append $served (eq $provider "azure" | ternary (printf "1-%s-" (. | replace "0" "00" | replace "-" "01")) (printf "u__org__%s__" .)) }}
    {{- end }}
    {{- $_ := set $prefixes $provider $served }}
  {{- end }}
{{- end }}
{{- if $prefixes }}{{ $_ := set $config "prefixes" $prefixes }}{{ end }}
{{- $_ := set $config "listen" (printf "%s:8443" $gateway.bindAddress) }}
{{- if $gateway.metrics.enabled }}{{ $_ := set $config "metricsListen" (printf "%s:9090" $gateway.bindAddress) }}{{ end }}
{{- if $facts.pull }}
  {{- $pods := $config.pods | default dict }}
  {{- $_ := set $pods "listen" (printf "%s:8444" $gateway.bindAddress) }}
  {{- $_ := set $pods "audience" $facts.audience }}
  {{- $_ := set $pods "settings" (include "flyte-secrets-policy.settings" . | fromYaml) }}
  {{- $_ := set $config "pods" $pods }}
{{- else if $config.pods }}
  {{- fail "gateway.config.pods: requires delivery: Pull; omit it or set delivery" }}
{{- end }}
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

{{/* DNS names of the gateway for the API server, and for pods. */}}
{{- define "flyte-secrets-policy.apiHost" -}}
{{- printf "%s.%s.svc" .Values.gateway.name .Release.Namespace }}
{{- end }}
{{- define "flyte-secrets-policy.podsHost" -}}
{{- printf "%s-pods.%s.svc" .Values.gateway.name .Release.Namespace }}
{{- end }}

{{/* Data of the Secret with the certificate that the chart creates, or created earlier; the same for all templates of a run. */}}
{{- define "flyte-secrets-policy.certificate" -}}
{{- if not .Values.certificate }}
{{- $secretName := include "flyte-secrets-policy.tlsSecretName" . }}
{{- $data := (lookup "v1" "Secret" .Release.Namespace $secretName).data }}
{{- if not (index ($data | default dict) "ca.crt") }}
{{- if $data }}
  {{- fail (printf "gateway.tls.secretName: Secret %s exists without ca.crt; set gateway.tls.caBundle to its certificate authority, or use another Secret" $secretName) }}
{{- end }}
{{- /* The authority's key is not stored, so it cannot sign again. */}}
{{- $name := .Values.gateway.name }}
{{- $hosts := list (include "flyte-secrets-policy.apiHost" .) (include "flyte-secrets-policy.podsHost" .) }}
{{- $ca := genCA (printf "%s-ca" $name) 3650 }}
{{- $certificate := genSignedCert $name nil $hosts 3650 $ca }}
{{- $data = dict "ca.crt" (b64enc $ca.Cert) "tls.crt" (b64enc $certificate.Cert) "tls.key" (b64enc $certificate.Key) }}
{{- end }}
{{- $_ := set .Values "certificate" $data }}
{{- end }}
{{- toYaml .Values.certificate }}
{{- end }}
