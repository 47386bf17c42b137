{{/*
What the policy would refuse at its start, refused here in the same words. Types and keys are the schema's affair, names of
managers and providers that of "facts". The rules are those of src/settings in the policy's sources.
*/}}

{{/* Ends with what is wrong with the policy's settings. Takes path and problem. */}}
{{- define "flyte-secrets-policy.refuse" -}}
{{- fail (printf "policy.settings.%s: %s" .path .problem) }}
{{- end }}

{{- define "flyte-secrets-policy.dnsPart" -}}
[a-z0-9]([-a-z0-9]*[a-z0-9])?
{{- end }}

{{/* The length of a text in bytes is what Kubernetes limits. Yields text if it is a DNS label. */}}
{{- define "flyte-secrets-policy.dnsLabel" -}}
{{- $part := include "flyte-secrets-policy.dnsPart" . }}
{{- if and (regexMatch (printf "^%s$" $part) .) (le (len .) 63) }}{{ . }}{{ end }}
{{- end }}

{{/* Yields text if it is a DNS subdomain. */}}
{{- define "flyte-secrets-policy.dnsSubdomain" -}}
{{- $part := include "flyte-secrets-policy.dnsPart" . }}
{{- if and (regexMatch (printf "^%s(\\.%s)*$" $part $part) .) (le (len .) 253) }}{{ . }}{{ end }}
{{- end }}

{{/* Yields text if it is what annotations and resources may be called: a name, perhaps with a domain and a slash in front. */}}
{{- define "flyte-secrets-policy.qualifiedName" -}}
{{- $name := regexFind "[^/]*$" . }}
{{- $domain := trimSuffix $name . }}
{{- $named := regexMatch "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $name }}
{{- if and $named (or (eq $domain "") (include "flyte-secrets-policy.dnsSubdomain" (trimSuffix "/" $domain))) }}{{ . }}{{ end }}
{{- end }}

{{/* Takes path and image. */}}
{{- define "flyte-secrets-policy.checkImage" -}}
{{- if kindIs "string" .image }}
  {{- if not (regexMatch "^[!-~]+$" .image) }}
    {{- $problem := printf "%q is no image; leave the key out for Flyte's default" .image }}
    {{- include "flyte-secrets-policy.refuse" (dict "path" .path "problem" $problem) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A quantity in thousandths, rounded up. Takes path, name and amount. */}}
{{- define "flyte-secrets-policy.milli" -}}
{{- $text := toString .amount }}
{{- $suffix := regexFind "([numkMGTPE]|[KMGTPE]i)$" $text }}
{{- $factors := dict "n" 1e-6 "u" 1e-3 "m" 1.0 "" 1e3 "k" 1e6 "M" 1e9 "G" 1e12 "T" 1e15 "P" 1e18 "E" 1e21
  "Ki" 1024e3 "Mi" 1048576e3 "Gi" 1073741824e3 "Ti" 1099511627776e3 "Pi" 1125899906842624e3 "Ei" 1152921504606846976e3 }}
{{- $exponent := regexMatch "[eE]" (trimSuffix $suffix $text) }}
{{- $whole := regexMatch "^\\+?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]{1,3})?$" (trimSuffix $suffix $text) }}
{{- /* What has such exponents is larger than anything. */}}
{{- $huge := regexMatch "[eE]\\+?[0-9]{3}$" $text }}
{{- $milli := 0.0 }}
{{- if and $whole (not $huge) (not (and $exponent $suffix)) }}
  {{- $milli = ceil (mulf (float64 (trimSuffix $suffix $text)) (get $factors $suffix)) }}
{{- end }}
{{- if or (not $whole) $huge (and $exponent $suffix) (gt $milli 18446744073709551615.0) }}
  {{- $problem := printf "%s: %q is no quantity such as 200m or 500Mi" .name $text }}
  {{- include "flyte-secrets-policy.refuse" (dict "path" .path "problem" $problem) }}
{{- end }}
{{- $milli }}
{{- end }}

{{/* Takes path, resources, and the defaults cpu and memory, over which those go. */}}
{{- define "flyte-secrets-policy.checkResources" -}}
{{- $path := .path }}
{{- $given := .resources | default dict }}
{{- $amounts := dict }}
{{- range $part := list "limits" "requests" }}
  {{- $all := dict "cpu" $.cpu "memory" $.memory }}
  {{- range $name, $amount := index $given $part }}
    {{- if not (kindIs "invalid" $amount) }}{{ $_ := set $all $name $amount }}{{ end }}
  {{- end }}
  {{- $_ := set $amounts $part $all }}
{{- end }}
{{- $limits := dict }}
{{- range $name, $amount := $amounts.limits }}
  {{- $milli := include "flyte-secrets-policy.milli" (dict "path" $path "name" $name "amount" $amount) | float64 }}
  {{- $_ := set $limits $name $milli }}
  {{- $extended := and (contains "/" $name) (include "flyte-secrets-policy.qualifiedName" $name) (eq (divf $milli 1000) (ceil (divf $milli 1000))) }}
  {{- if not (or $extended (has $name (list "cpu" "memory" "ephemeral-storage"))) }}
    {{- $problem := printf "%q is no resource of a container that pulls secrets" $name }}
    {{- include "flyte-secrets-policy.refuse" (dict "path" $path "problem" $problem) }}
  {{- end }}
{{- end }}
{{- range $name, $amount := $amounts.requests }}
  {{- $milli := include "flyte-secrets-policy.milli" (dict "path" $path "name" $name "amount" $amount) | float64 }}
  {{- $problem := "" }}
  {{- if and (contains "/" $name) (not (and (hasKey $limits $name) (eq $milli (index $limits $name)))) }}
    {{- $problem = printf "%s is requested without an equal limit; Kubernetes wants both the same" $name }}
  {{- else if not (or (hasKey $limits $name) (has $name (list "cpu" "memory" "ephemeral-storage"))) }}
    {{- $problem = printf "%q is no resource of a container that pulls secrets" $name }}
  {{- else if and (hasKey $limits $name) (gt $milli (index $limits $name)) }}
    {{- $problem = printf "the request of %v %s is over the limit of %v; raise the limit too" $amount $name (index $amounts.limits $name) }}
  {{- end }}
  {{- if $problem }}
    {{- include "flyte-secrets-policy.refuse" (dict "path" $path "problem" $problem) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Takes the path in the values and the template. */}}
{{- define "flyte-secrets-policy.checkNamespaceTemplate" -}}
{{- $pieces := splitList "{{" .template }}
{{- $last := sub (len $pieces) 1 | int }}
{{- range $number, $piece := rest $pieces }}
  {{- $parts := splitn "}}" 2 $piece }}
  {{- if not (contains "}}" $piece) }}
    {{- fail (printf "%s: %q has {{ without }}" $.path $.template) }}
  {{- else if not (has (trim $parts._0) (list "project" "domain" "organization" "org")) }}
    {{- fail (printf "%s: {{ %s }} is none of project, domain and organization" $.path (trim $parts._0)) }}
  {{- else if and (eq $parts._1 "") (lt (add1 $number | int) $last) }}
    {{- fail (printf "%s: %q has two names side by side, so that several pairs yield one namespace" $.path $.template) }}
  {{- end }}
{{- end }}
{{- if eq $last 0 }}
  {{- fail (printf "%s: %q is the same for every project; use {{ project }}-{{ domain }}" .path .template) }}
{{- end }}
{{- end }}

{{/* All of it. Takes the root. */}}
{{- define "flyte-secrets-policy.check" -}}
{{- $settings := .Values.policy.settings | default dict }}
{{- $facts := include "flyte-secrets-policy.facts" . | fromYaml }}

{{- $prefix := $settings.secretEnvVarPrefix | default "" }}
{{- if not (regexMatch "^([A-Za-z_.-][A-Za-z0-9_.-]*)?$" $prefix) }}
  {{- $problem := printf "%q starts no variable's name; letters, digits, _, - and . may stand in it, and no digit in front" $prefix }}
  {{- include "flyte-secrets-policy.refuse" (dict "path" "secretEnvVarPrefix" "problem" $problem) }}
{{- end }}

{{- range $manager := list "awsSecretManager" "gcpSecretManager" "azureSecretManager" }}
  {{- $sidecar := index $settings $manager | default dict }}
  {{- $image := dict "path" (printf "%s.sidecarImage" $manager) "image" $sidecar.sidecarImage }}
  {{- include "flyte-secrets-policy.checkImage" $image }}
  {{- $resources := dict "path" (printf "%s.resources" $manager) "resources" $sidecar.resources "cpu" "200m" "memory" "500Mi" }}
  {{- include "flyte-secrets-policy.checkResources" $resources }}
{{- end }}

{{- range $name, $_ := ($settings.vaultSecretManager).annotations }}
  {{- $problem := "" }}
  {{- $domain := regexFind "^[A-Za-z0-9.-]*/" $name }}
  {{- if hasPrefix "flyte.secrets/s" $name }}
    {{- $problem = "is a secret request, which is for pods to make" }}
  {{- else if not (include "flyte-secrets-policy.qualifiedName" (printf "%s%s" (lower $domain) (trimPrefix $domain $name))) }}
    {{- $problem = "is no annotation's name" }}
  {{- end }}
  {{- if $problem }}
    {{- include "flyte-secrets-policy.refuse" (dict "path" "vaultSecretManager.annotations" "problem" (printf "%q %s" $name $problem)) }}
  {{- end }}
{{- end }}

{{- $config := $settings.embeddedSecretManagerConfig | default dict }}
{{- $refused := dict }}
{{- if eq $facts.provider "AWS" }}
  {{- if not (and (contains "-" $facts.place) (include "flyte-secrets-policy.dnsLabel" $facts.place)) }}
    {{- $refused = dict "path" "awsConfig.region" "problem" (printf "%q is no region; AWS wants one such as eu-west-1" $facts.place) }}
  {{- end }}
{{- else if eq $facts.provider "GCP" }}
  {{- range splitList ":" $facts.place }}
    {{- if not (include "flyte-secrets-policy.dnsSubdomain" .) }}
      {{- $refused = dict "path" "gcpConfig.project" "problem" (printf "%q is no project; GCP wants its id, such as acme-prod" $facts.place) }}
    {{- end }}
  {{- end }}
{{- else if eq $facts.provider "Azure" }}
  {{- $uri := ($config.azureConfig).vaultURI | default "" }}
  {{- if not (and (regexMatch "^[Hh][Tt][Tt][Pp][Ss]://[!-~]*$" $uri) (include "flyte-secrets-policy.dnsSubdomain" $facts.place)) }}
    {{- $refused = dict "path" "azureConfig.vaultURI" "problem" (printf "%q is no vault; Azure wants one such as https://name.vault.azure.net/" $uri) }}
  {{- end }}
{{- end }}
{{- $namespace := ($config.k8sConfig).namespace }}
{{- if and (kindIs "string" $namespace) (not (include "flyte-secrets-policy.dnsLabel" (toString $namespace))) }}
  {{- $refused = dict "path" "k8sConfig.namespace" "problem" (printf "%q is no namespace" $namespace) }}
{{- end }}
{{- if and (kindIs "slice" $config.nameSchemes) (not $config.nameSchemes) }}
  {{- $refused = dict "path" "nameSchemes" "problem" "is empty; name canonical, documented or both, or leave the key out" }}
{{- end }}
{{- $container := $config.fileMountInitContainer | default dict }}
{{- if and (kindIs "string" $container.containerName) (not (include "flyte-secrets-policy.dnsLabel" (toString $container.containerName))) }}
  {{- $problem := printf "%q is no container's name: up to 63 of a-z, 0-9 and -" $container.containerName }}
  {{- $refused = dict "path" "fileMountInitContainer.containerName" "problem" $problem }}
{{- end }}
{{- if $refused }}
  {{- include "flyte-secrets-policy.refuse" (set $refused "path" (printf "embeddedSecretManagerConfig.%s" $refused.path)) }}
{{- end }}
{{- $path := "embeddedSecretManagerConfig.fileMountInitContainer" }}
{{- include "flyte-secrets-policy.checkImage" (dict "path" (printf "%s.image" $path) "image" $container.image) }}
{{- $resources := dict "path" (printf "%s.resources" $path) "resources" $container.resources "cpu" "100m" "memory" "100Mi" }}
{{- include "flyte-secrets-policy.checkResources" $resources }}

{{- $own := $settings.tenancy | default dict }}
{{- $template := (hasKey $own "namespaceTemplate") | ternary $own.namespaceTemplate (.Values.policy.tenancy).namespaceTemplate }}
{{- if kindIs "string" $template }}
  {{- $path := (hasKey $own "namespaceTemplate") | ternary "policy.settings.tenancy" "policy.tenancy" | printf "%s.namespaceTemplate" }}
  {{- include "flyte-secrets-policy.checkNamespaceTemplate" (dict "path" $path "template" $template) }}
{{- end }}
{{- end }}
