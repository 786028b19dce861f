{{/* What the exporter's pod and the pod of `helm test` have in common. */}}

{{/* As whom a pod runs, where, and what it finds under a name: of both alike, or the check fails where the exporter works. */}}
{{- define "polyai-exporter.surroundings" -}}
serviceAccountName: {{ include "polyai-exporter.serviceAccountName" . }}
automountServiceAccountToken: false
# Services of the namespace would become environment variables.
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

{{/* The environment wins over the file, so the configuration can stay what it is outside of Kubernetes. */}}
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

{{/* Whole folders and no subPath: a file mounted by subPath never changes again. */}}
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

{{/* Secrets can be read by the group, which is fsGroup, and by nobody else: 288 is 0440. */}}
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

{{/* A probe. Arguments: the root, the path, the values of the probe. The kubelet verifies no certificate. */}}
{{- define "polyai-exporter.probe" -}}
{{- $root := index . 0 -}}
{{- $path := index . 1 -}}
{{- $type := $root.Values.probes.type -}}
{{- $isGuarded := or $root.Values.web.basicAuth $root.Values.web.tls.clientCertificates -}}
{{- if eq $type "auto" -}}
{{/* What is in a file of the user's own nobody knows here: with a rate_limit any peer could give the kubelet 429. */ -}}
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
