{{/* Base name of every object; at most 52 characters, so that suffixes fit into 63. */}}
{{- define "recommender-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "recommender-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "recommender-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods; they never change during the life of a release. */}}
{{- define "recommender-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* app.kubernetes.io/managed-by is Helm here: the operator prunes only objects with recommender-operator there. */}}
{{- define "recommender-operator.labels" -}}
{{ include "recommender-operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: recommender-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "recommender-operator.image" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is empty: no public image has been released yet. Build one with the Dockerfile of the repository, push it, and pass --set image.repository=REGISTRY/recommender-operator" -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The files of the catalogue: a map of path to text. A file is given as text or as an object. */}}
{{- define "recommender-operator.catalog" -}}
{{- $files := dict -}}
{{- range $name, $file := .Values.catalog.profiles -}}
{{- $_ := set $files (printf "profiles/%s.yaml" $name) $file -}}
{{- end -}}
{{- range $kind, $exporters := .Values.catalog.dependencies -}}
{{- range $name, $file := $exporters -}}
{{- $_ := set $files (printf "dependencies/%s/%s.yaml" $kind $name) $file -}}
{{- end -}}
{{- end -}}
{{- range $group, $file := .Values.catalog.alerts -}}
{{- $_ := set $files (printf "alerts/%s.yaml" $group) $file -}}
{{- end -}}
{{- range $path, $file := $files }}
{{ $path }}: {{ ternary $file (toYaml $file) (kindIs "string" $file) | toJson }}
{{- end }}
{{- end -}}
