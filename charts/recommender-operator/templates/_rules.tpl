{{/*
What the operator may do in the namespaces it watches. One list for the ClusterRole and for the Roles of the namespaced
mode, so that both modes grant the same. Never here: secrets, wildcards, escalate, bind, impersonate, pods/exec.
*/}}
{{- define "recommender-operator.rules" -}}
# The RecommenderModels. Their metadata and spec are never written.
- apiGroups: [recommender.dev]
  resources: [recommendermodels]
  verbs: [list, watch]
# The status is written by server-side apply, which is a patch.
- apiGroups: [recommender.dev]
  resources: [recommendermodels/status]
  verbs: [patch]
# Children carry an ownerReference with blockOwnerDeletion. Clusters with the admission plugin
# OwnerReferencesPermissionEnforcement (OpenShift has it) let only those set it who may update the owner's finalizers.
- apiGroups: [recommender.dev]
  resources: [recommendermodels/finalizers]
  verbs: [update]
# One Job per training run, and per deletion of artifacts. Get: the owner of an object with the name of a child. Create and patch: server-side apply, here
# and below. Delete: runs that are no longer desired.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# The Deployments of a model's servers and workers. Delete: workers that are no longer desired. The servers are deleted only
# with their owner, by garbage collection.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Replicas after a new decision on latency or lag: set at once, because an autoscaler reconciles only every 15 s. From and to
# zero replicas they are always set here, because an autoscaler is disabled at zero.
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
{{- if .Values.hotReload.enabled }}
# The file that names the version to servers that change versions without a restart. Only the metadata of ConfigMaps with the label of
# the operator is read; Kubernetes cannot limit a right to them.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
# The Service in front of the serving pods, and a service account without rights or token for the pods of a model.
# Delete, here and below: children that are no longer desired.
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Scaling of the Deployments. List and watch: also external autoscalers, which may scale the same Deployments.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# Node drains must not evict all serving pods at once.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# The HTTPRoute that divides the requests of Gateways between the servers and a canary; unused where the Gateway API is not installed.
# It is deleted only with its owner, by garbage collection.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch]
# Whether a Gateway can copy requests: read only before the first step of a canary with copies (mirrorPercent).
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, gatewayclasses]
  verbs: [get]
# Scraping, recording rules and alerts of a model; unused where prometheus-operator is not installed.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors, podmonitors, probes, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
# Why a Prometheus has not loaded these: its selectors. Listed only while one of them is not loaded for minutes; namespaces are not
# read.
- apiGroups: [monitoring.coreos.com]
  resources: [prometheuses]
  verbs: [list]
# The report of a training run is the termination message of its pod, and the status of a pod shows why it does not start.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The CPU use of servers that do not answer their scrapes or probes. With the reason below, it is the only sign of an overload
# that does not come from the overloaded servers. Listed only while there are such servers.
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
# Create: Events on the RecommenderModel about what changed. List: the kubelets' Events about why the probes of such servers
# fail, and the Events of a pod or Job that hangs, which alone state why: volumes, probes, refused pods.
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- end -}}
