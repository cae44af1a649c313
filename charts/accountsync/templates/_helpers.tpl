{{- define "accountsync.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Of the ValidatingAdmissionPolicy. Releases that watch some namespaces may bear one name in many of them. */}}
{{- define "accountsync.policyName" -}}
{{- $name := include "accountsync.fullname" . -}}
{{- if .Values.watchNamespaces }}{{ printf "%s-%s" $name .Release.Namespace }}{{ else }}{{ $name }}{{ end -}}
{{- end -}}

{{/* 52 characters: "-tenant", "-metrics" and the like are appended. */}}
{{- define "accountsync.fullname" -}}
{{- $name := include "accountsync.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Never the namespace's `default`: whoever runs a pod there without naming an account would have these rights. */}}
{{- define "accountsync.serviceAccountName" -}}
{{- $own := ternary (include "accountsync.fullname" .) "" .Values.serviceAccount.create -}}
{{- $name := .Values.serviceAccount.name | default $own -}}
{{- if has $name (list "" "default") -}}
{{- fail "serviceAccount.name: with create false, name one that exists; `default` is every pod's and is not given rights" -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* With the component, so that nothing selects the pod of `helm test`. */}}
{{- define "accountsync.selectorLabels" -}}
app.kubernetes.io/name: {{ include "accountsync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "accountsync.drillLabels" -}}
app.kubernetes.io/name: {{ include "accountsync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}

{{- define "accountsync.labels" -}}
app.kubernetes.io/name: {{ include "accountsync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "accountsync.image" -}}
{{- with .Values.image -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- if .digest }}@{{ .digest }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* "true" or nothing, for `if`. A watch can't be limited to some names. */}}
{{- define "accountsync.watchSecrets" -}}
{{- if and .Values.watchSecrets (not .Values.rbac.secretNames) }}true{{ end -}}
{{- end -}}

{{- define "accountsync.watchConfigMaps" -}}
{{- if and .Values.watchConfigMaps (not .Values.rbac.configMapNames) }}true{{ end -}}
{{- end -}}

{{/* What the cluster lacks of what is enabled: a line each, or nothing. */}}
{{- define "accountsync.leftOut" -}}
{{- $monitoring := .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- range $kind, $wanted := pick .Values "serviceMonitor" "podMonitor" "prometheusRule" }}
{{- if and $wanted.enabled (not $monitoring) }}
  {{ title $kind }}: this cluster does not know monitoring.coreos.com/v1 (the Prometheus operator)
{{- end }}
{{- end }}
{{- with .Values.networkPolicy }}
{{- if and .enabled .cilium.enabled (not ($.Capabilities.APIVersions.Has "cilium.io/v2")) }}
  CiliumNetworkPolicy: this cluster does not know cilium.io/v2
{{- end }}
{{- end }}
{{- end -}}

{{/* The operator's rights in one namespace, besides those over accounts. */}}
{{- define "accountsync.tenantRules" -}}
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get{{ if include "accountsync.watchSecrets" . }}, watch{{ end }}]
- apiGroups: [""]
  resources: [configmaps]
  {{- with .Values.rbac.configMapNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get{{ if include "accountsync.watchConfigMaps" . }}, watch{{ end }}]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, patch]
{{- end -}}

{{/* The operator's rights over accounts. */}}
{{- define "accountsync.accountRules" -}}
- apiGroups: [accountsync.dev]
  resources: [tradingaccounts]
  verbs: [get, list, watch]
- apiGroups: [accountsync.dev]
  resources: [tradingaccounts/status]
  verbs: [patch]
- apiGroups: [accountsync.dev]
  resources: [remediationplans]
  verbs: [get, list, watch, create, delete]
- apiGroups: [accountsync.dev]
  resources: [remediationplans/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "accountsync.subjects" -}}
- kind: ServiceAccount
  name: {{ include "accountsync.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* "true" where a CiliumNetworkPolicy stands for the rule for public addresses. */}}
{{- define "accountsync.cilium" -}}
{{- $known := .Capabilities.APIVersions.Has "cilium.io/v2" -}}
{{- if and .Values.networkPolicy.enabled .Values.networkPolicy.cilium.enabled $known }}true{{ end -}}
{{- end -}}

{{/* Of a ServiceMonitor's or a PodMonitor's one endpoint. The operator's labels `namespace` and `account` are those of
a TradingAccount, and stay; alerts look for the job `accountsync`. */}}
{{- define "accountsync.scrape" -}}
port: metrics
path: /metrics
honorLabels: true
{{- with .interval }}
interval: {{ . }}
{{- end }}
relabelings:
  - targetLabel: job
    replacement: accountsync
{{- end -}}

{{/* Whether a rule is wanted: "true" or nothing. Takes (rule, values of prometheusRule). */}}
{{- define "accountsync.wanted" -}}
{{- $name := index . 0 | dig "alert" "" -}}
{{- $values := index . 1 -}}
{{- $operator := has $name (list "AccountSyncOperatorDown" "AccountSyncOperatorAbsent" "NamespaceNotFollowed") -}}
{{- if and (or $operator (eq $values.scope "All")) (not (has $name $values.excluded)) }}true{{ end -}}
{{- end -}}

{{/* An expression that asks for this release's own targets: another release's would hide that ours are gone. Takes
(expression, namespace of the release). */}}
{{- define "accountsync.ownTargets" -}}
{{- $own := printf "up{job=\"accountsync\", namespace=%q}" (index . 1) -}}
{{- index . 0 | toString | trim | replace "up{job=\"accountsync\"}" $own -}}
{{- end -}}

{{/* One alert, as the values want it. Takes (rule, values of prometheusRule). The schema lets only those overrides
through that the alert's expression has a place for. `window` takes the place of the ranges that are as long as the
first one. */}}
{{- define "accountsync.alert" -}}
{{- $rule := index . 0 -}}
{{- $values := index . 1 -}}
{{- $override := get $values.overrides $rule.alert | default dict -}}
{{- $labels := merge dict ($rule.labels | default dict) $values.ruleLabels -}}
{{- $expr := $rule.expr | toString | trim -}}
{{- with $override.for }}{{ $_ := set $rule "for" . }}{{ end -}}
{{- with $override.severity }}{{ $_ := set $labels "severity" . }}{{ end -}}
{{- if hasKey $override "threshold" -}}
{{- $expr = regexReplaceAll "[0-9.]+$" $expr (toJson $override.threshold) -}}
{{- end -}}
{{- with $override.window }}
{{- $expr = replace (regexFind "\\[[0-9]+[a-z]+\\]" $expr) (printf "[%s]" .) $expr }}
{{- end -}}
{{- $_ := set $rule "expr" $expr -}}
{{- $_ := set $rule "labels" $labels -}}
{{- if dig "annotations" "runbook_url" "" $rule -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" $values.runbookBaseUrl $rule.alert) -}}
{{- end -}}
{{- toYaml $rule -}}
{{- end -}}
