{{/*
What the operator may do where it watches. One list for the ClusterRole and for the Roles of the namespaced mode, so
that both modes are the same by construction. Never here: secrets, wildcards, escalate, bind, impersonate, pods/exec.
*/}}
{{- define "recommender-operator.rules" -}}
# The objects this operator exists for. It never writes their metadata or spec.
- apiGroups: [recommender.dev]
  resources: [recommendermodels]
  verbs: [list, watch]
# The outcome is written by server-side apply to the status subresource, which is a patch.
- apiGroups: [recommender.dev]
  resources: [recommendermodels/status]
  verbs: [patch]
# Children carry an ownerReference with blockOwnerDeletion. Clusters with the admission plugin
# OwnerReferencesPermissionEnforcement (OpenShift has it) let only those set it who may update the owner's finalizers.
- apiGroups: [recommender.dev]
  resources: [recommendermodels/finalizers]
  verbs: [update]
# One Job per training run. Get: whose is a name that is taken; create and patch: server-side apply, here and below;
# delete: runs that are no longer wanted.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# The Deployments of a model's servers and workers. Delete: workers that are no longer wanted; what serves only goes with
# its owner, by garbage collection.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# A Deployment whose replicas belong to an autoscaler starts with the number the autoscaler would come to; what is newly
# decided is ordered at once, because an autoscaler looks every 15 s, and no replicas at all, because it does not do that.
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# The Service in front of the serving pods, and a service account without rights or token for the pods of a model.
# Delete, here and below: pruning of what is no longer wanted.
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Scaling of the Deployments. List and watch: also autoscalers of others, which may move the same Deployments.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# Node drains must not take all serving pods at once.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Scraping, recording rules and alerts of a model; unused where prometheus-operator is not installed.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors, podmonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
# A training run's report is the termination message of its pod, and why a pod does not start is told by its status.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# How much CPU servers use that do not answer their scrapes or probes: with the reason below, the only signs of an overload
# that do not come from the overloaded servers. Asked for only while there are such servers.
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
# What changed is reported as Events on the RecommenderModel; and why the probes of such servers fail is read from those of
# their kubelets.
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- end -}}
