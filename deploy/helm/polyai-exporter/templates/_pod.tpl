{{/* Shared by the exporter's pod and the pod of `helm test`. */}}

{{/* User, scheduling and name resolution of a pod. Identical for both pods, so that the check fails exactly when the exporter would. */}}
{{- define "polyai-exporter.surroundings" -}}
serviceAccountName: {{ include "polyai-exporter.serviceAccountName" . }}
automountServiceAccountToken: false
# Otherwise the Services of the namespace become environment variables.
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Environment variables override the file, so the same configuration works outside of Kubernetes. */}}
{{- define "polyai-exporter.env" -}}
- name: POLYAI_EXPORTER__SERVER__LISTEN
  value: {{ printf "%s:%d" .Values.web.host (int .Values.web.port) | quote }}
- name: POLYAI_EXPORTER__STORAGE__PATH
  value: /data
{{- if include "polyai-exporter.webConfig" . }}
- name: POLYAI_EXPORTER__SERVER__WEB_CONFIG_FILE
  value: {{ printf "/etc/polyai-exporter-web/%s" (include "polyai-exporter.webConfigFile" .) }}
{{- end }}
{{- range .Values.secrets.env }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Mounts directories instead of using subPath, because a subPath mount is never updated. */}}
{{- define "polyai-exporter.mounts" -}}
- name: config
  mountPath: /etc/polyai-exporter
  readOnly: true
{{- if include "polyai-exporter.webConfig" . }}
- name: web-config
  mountPath: /etc/polyai-exporter-web
  readOnly: true
{{- end }}
{{- if .Values.web.tls.secretName }}
- name: tls
  mountPath: /etc/polyai-exporter-tls
  readOnly: true
{{- end }}
{{- range $index, $file := .Values.secrets.files }}
- name: secret-{{ $index }}
  mountPath: /secrets/{{ $file.secret }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Mode 288 is 0440: only the owner and fsGroup can read Secrets. */}}
{{- define "polyai-exporter.volumes" -}}
- name: config
  configMap:
    name: {{ include "polyai-exporter.configMap" . }}
{{- $web := include "polyai-exporter.webConfig" . }}
{{- if eq $web "secret" }}
- name: web-config
  secret:
    secretName: {{ .Values.web.existingSecret }}
    defaultMode: 288
{{- else if eq $web "configMap" }}
- name: web-config
  configMap:
    name: {{ .Values.web.existingConfigMap }}
{{- else if eq $web "own" }}
- name: web-config
  configMap:
    name: {{ include "polyai-exporter.suffixed" (list . "web") }}
{{- end }}
{{- with .Values.web.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 288
{{- end }}
{{- range $index, $file := .Values.secrets.files }}
- name: secret-{{ $index }}
  secret:
    secretName: {{ $file.secret }}
    defaultMode: 288
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A probe. Arguments: the root context, the path, the values of the probe. The kubelet does not verify certificates. */}}
{{- define "polyai-exporter.probe" -}}
{{- $root := index . 0 -}}
{{- $path := index . 1 -}}
{{- $type := $root.Values.probes.type -}}
{{- $isGuarded := or $root.Values.web.basicAuth $root.Values.web.tls.clientCertificates -}}
{{- if eq $type "auto" -}}
{{/* The content of a user-provided file is unknown: with rate_limit, other clients could cause a 429 for the kubelet. */ -}}
{{- $isOwn := has (include "polyai-exporter.webConfig" $root) (list "secret" "configMap") -}}
{{- $type = ternary "exec" "http" (or $isOwn $isGuarded) -}}
{{- end -}}
{{- if eq $type "http" -}}
httpGet:
  path: {{ $path }}
  port: metrics
  scheme: {{ include "polyai-exporter.scheme" $root | upper }}
{{- else -}}
exec:
  command: [/polyai-exporter, healthcheck, --config=/etc/polyai-exporter/polyai.yaml{{ if and (eq $path "/-/ready") (not $isGuarded) }}, --ready{{ end }}]
{{- end }}
{{ toYaml (index . 2) }}
{{- end -}}
