{{- /* Names do not depend on the release's: a cluster has one installation, and the operator knows its objects by name. */ -}}

{{- define "bailiwick.labels" -}}
{{ include "bailiwick.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: bailiwick
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bailiwick.selector" -}}
app.kubernetes.io/name: bailiwick-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* The reference of an image. Arguments: the context, the image's name without `bailiwick-`. */ -}}
{{- define "bailiwick.image" -}}
{{- $context := index . 0 -}}
{{- printf "%s/bailiwick-%s:%s" $context.Values.image.registry (index . 1) ($context.Values.image.tag | default $context.Chart.AppVersion) -}}
{{- end -}}

{{- /* Where sidecars find the operator, and who it must prove to be. */ -}}
{{- define "bailiwick.operatorHost" -}}
{{- printf "bailiwick-operator.%s.svc" .Release.Namespace -}}
{{- end -}}

{{- define "bailiwick.operatorId" -}}
{{- printf "spiffe://%s/ns/%s/sa/bailiwick-operator" .Values.trustDomain .Release.Namespace -}}
{{- end -}}

{{- define "bailiwick.bundle" -}}
{{- if eq .Values.injection.bundle "configMap" -}} ConfigMap
{{- else if eq .Values.injection.bundle "clusterTrustBundle" -}} ClusterTrustBundle
{{- else if .Capabilities.APIVersions.Has "certificates.k8s.io/v1/ClusterTrustBundle" -}} ClusterTrustBundle
{{- else -}} ConfigMap
{{- end -}}
{{- end -}}

{{- /* What the level `restricted` of Pod Security asks of a container. */ -}}
{{- define "bailiwick.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}
