{{/* Checks that the schema cannot express. Reports all problems with the values at once. */}}
{{- define "polyai-exporter.problems" -}}
{{- $problems := list -}}
{{- $config := default dict .Values.config -}}
{{- if kindIs "string" $config -}}
{{- $config = fromYaml .Values.config -}}
{{- if hasKey $config "Error" -}}
{{- $problems = append $problems (printf "config: not YAML: %s" $config.Error) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.existingConfigMap .Values.config -}}
{{- $problems = append $problems "existingConfigMap and config are both set; remove one of them" -}}
{{- end -}}
{{- if not .Values.existingConfigMap -}}
{{- if and (not (hasKey $config "Error")) (not $config.targets) -}}
{{- $problems = append $problems "config.targets is missing or empty: list the projects to poll, as in config.example.yaml, or set existingConfigMap" -}}
{{- end -}}
{{- $variables := list -}}
{{- range .Values.secrets.env -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- range .Values.extraEnv -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- if kindIs "slice" $config.targets -}}
{{- range $index, $target := $config.targets -}}
{{- if kindIs "map" $target -}}
{{- if hasKey $target "api_key" -}}
{{- $problems = append $problems (printf "config.targets[%d].api_key: a key in the values could be read from the ConfigMap and from the Helm release; store it in a Secret, add that to secrets.env, and set api_key_env to the variable" $index) -}}
{{- end -}}
{{- if and $target.api_key_env (not $.Values.extraEnvFrom) (not (has $target.api_key_env $variables)) -}}
{{- $problems = append $problems (printf "config.targets[%d].api_key_env names %s, which neither secrets.env nor extraEnv sets" $index $target.api_key_env) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $index, $variable := .Values.extraEnv -}}
{{- if and (contains "API_KEY" (toString $variable.name)) (hasKey $variable "value") (not (hasSuffix "_FILE" (toString $variable.name))) -}}
{{- $problems = append $problems (printf "extraEnv[%d] has the value of %s: a key in the values could be read from the Helm release; store it in a Secret, and add that to secrets.env" $index $variable.name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.web.existingSecret .Values.web.existingConfigMap -}}
{{- $problems = append $problems "web.existingSecret and web.existingConfigMap are both set; remove one of them" -}}
{{- end -}}
{{- if and .Values.web.tls.enabled (not (include "polyai-exporter.webConfig" .)) -}}
{{- $problems = append $problems "web.tls.enabled has no certificate: set web.tls.secretName to a Secret of type kubernetes.io/tls, or web.existingSecret to one with a web.config.yml that has tls_server_config" -}}
{{- end -}}
{{- if and .Values.web.tls.secretName (not .Values.web.tls.enabled) -}}
{{- $problems = append $problems "web.tls.secretName is given and web.tls.enabled is not: set web.tls.enabled to true, otherwise the port does not use TLS" -}}
{{- end -}}
{{- if and .Values.web.basicAuth (not (has (include "polyai-exporter.webConfig" .) (list "secret" "configMap"))) -}}
{{- $problems = append $problems "web.basicAuth has no users: set web.existingSecret to a Secret with a web.config.yml that has basic_auth_users" -}}
{{- end -}}
{{- if and .Values.web.tls.clientCertificates (not (has (include "polyai-exporter.webConfig" .) (list "secret" "configMap"))) -}}
{{- $problems = append $problems "web.tls.clientCertificates has no authority: set web.existingSecret to a Secret with a web.config.yml that has client_ca_file or client_ca" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.web.basicAuth (not .Values.serviceMonitor.basicAuth.secretName) -}}
{{- $problems = append $problems "serviceMonitor.basicAuth.secretName is missing: with web.basicAuth, Prometheus needs a user name and a password" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.prometheusRule.enabled (not .Values.prometheusRule.rules) (ne .Values.serviceMonitor.job "polyai") -}}
{{- $problems = append $problems (printf "serviceMonitor.job is %s, but the rules of the chart select the job polyai: generate rules with `polyai-exporter rules --set common.job=%s`, and set prometheusRule.rules to them" .Values.serviceMonitor.job .Values.serviceMonitor.job) -}}
{{- end -}}
{{- if and .Values.dashboards.grafanaOperator.enabled (not .Values.dashboards.enabled) -}}
{{- $problems = append $problems "dashboards.grafanaOperator needs dashboards.enabled, because its objects refer to the ConfigMaps" -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nInvalid values:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}
