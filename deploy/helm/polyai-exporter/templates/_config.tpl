{{/* The exporter's configuration and its web.config.yml: which ConfigMap or Secret has them. */}}

{{/* A text stays as it is, byte for byte; nothing is templated in it. */}}
{{- define "polyai-exporter.config" -}}
{{- if kindIs "string" .Values.config -}}
{{- .Values.config -}}
{{- else -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- end -}}

{{- define "polyai-exporter.configMap" -}}
{{- default (include "polyai-exporter.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{/* Whether there is a web.config.yml: `secret`, `configMap`, `own` (written by the chart for TLS alone), or nothing. */}}
{{- define "polyai-exporter.webConfig" -}}
{{- if .Values.web.existingSecret -}}secret
{{- else if .Values.web.existingConfigMap -}}configMap
{{- else if and .Values.web.tls.enabled .Values.web.tls.secretName -}}own
{{- end -}}
{{- end -}}

{{- define "polyai-exporter.webConfigFile" -}}
{{- if eq (include "polyai-exporter.webConfig" .) "own" -}}web.config.yml
{{- else -}}{{ .Values.web.key }}
{{- end -}}
{{- end -}}

{{- define "polyai-exporter.scheme" -}}
{{- ternary "https" "http" .Values.web.tls.enabled -}}
{{- end -}}
