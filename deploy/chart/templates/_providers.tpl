{{/* Providers by their names in settings. Made by `make generate` of src/settings/provider.rs.
  places  what the gateway calls a list of places
  field   the setting that holds the place */}}
{{- define "flyte-secrets-policy.providers" -}}
AWS: { places: regions, field: awsConfig.region }
GCP: { places: projects, field: gcpConfig.project }
Azure: { places: vaults, field: azureConfig.vaultURI }
K8s: { places: namespaces, field: k8sConfig.namespace }
{{- end }}
