{{/* What the schema cannot say: all that is wrong with the values, in sentences, at once. */}}
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
{{- $problems = append $problems "existingConfigMap and config are both given, and only one can be the configuration; remove one" -}}
{{- end -}}
{{- if not .Values.existingConfigMap -}}
{{- if and (not (hasKey $config "Error")) (not $config.targets) -}}
{{- $problems = append $problems "config.targets is missing or empty: say which projects to poll, as in config.example.yaml, or name a ConfigMap in existingConfigMap" -}}
{{- end -}}
{{- $variables := list -}}
{{- range .Values.secrets.env -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- range .Values.extraEnv -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- if kindIs "slice" $config.targets -}}
{{- range $index, $target := $config.targets -}}
{{- if kindIs "map" $target -}}
{{- if hasKey $target "api_key" -}}
{{- $problems = append $problems (printf "config.targets[%d].api_key: a key in the values could be read in the ConfigMap and in Helm's record of the release; put it into a Secret, name that in secrets.env, and the variable in api_key_env" $index) -}}
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
{{- $problems = append $problems (printf "extraEnv[%d] has the value of %s: a key in the values could be read in Helm's record of the release; put it into a Secret, and name that in secrets.env" $index $variable.name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.web.existingSecret .Values.web.existingConfigMap -}}
{{- $problems = append $problems "web.existingSecret and web.existingConfigMap are both given, and only one can hold web.config.yml; remove one" -}}
{{- end -}}
{{- if and .Values.web.tls.enabled (not (include "polyai-exporter.webConfig" .)) -}}
{{- $problems = append $problems "web.tls.enabled has no certificate: name a Secret of type kubernetes.io/tls in web.tls.secretName, or a web.config.yml with tls_server_config in web.existingSecret" -}}
{{- end -}}
{{- if and .Values.web.tls.secretName (not .Values.web.tls.enabled) -}}
{{- $problems = append $problems "web.tls.secretName is given and web.tls.enabled is not: set it to true, or the port stays without TLS" -}}
{{- end -}}
{{- if and .Values.web.basicAuth (not (has (include "polyai-exporter.webConfig" .) (list "secret" "configMap"))) -}}
{{- $problems = append $problems "web.basicAuth has no users: name a Secret with a web.config.yml that has basic_auth_users in web.existingSecret" -}}
{{- end -}}
{{- if and .Values.web.tls.clientCertificates (not (has (include "polyai-exporter.webConfig" .) (list "secret" "configMap"))) -}}
{{- $problems = append $problems "web.tls.clientCertificates has no authority: name a Secret with a web.config.yml that has client_ca_file or client_ca in web.existingSecret" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.web.basicAuth (not .Values.serviceMonitor.basicAuth.secretName) -}}
{{- $problems = append $problems "serviceMonitor.basicAuth.secretName is missing: with web.basicAuth Prometheus needs a user and a password" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.prometheusRule.enabled (not .Values.prometheusRule.rules) (ne .Values.serviceMonitor.job "polyai") -}}
{{- $problems = append $problems (printf "serviceMonitor.job is %s, and the rules of the chart ask for polyai: write rules with `polyai-exporter rules --set common.job=%s`, and give them in prometheusRule.rules" .Values.serviceMonitor.job .Values.serviceMonitor.job) -}}
{{- end -}}
{{- if and .Values.dashboards.grafanaOperator.enabled (not .Values.dashboards.enabled) -}}
{{- $problems = append $problems "dashboards.grafanaOperator needs dashboards.enabled: its objects read the ConfigMaps" -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThe values cannot be used:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}
