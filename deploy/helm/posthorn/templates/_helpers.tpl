{{- define "posthorn.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains "posthorn" .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-posthorn" .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "posthorn.selector" -}}
app.kubernetes.io/name: posthorn
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "posthorn.labels" -}}
{{ include "posthorn.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "posthorn.image" -}}
{{- .Values.image.repository -}}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "posthorn.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "posthorn.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The controller names a Worker Deployment by its namespace and name. */}}
{{- define "posthorn.workerDeployment" -}}
{{ .Release.Namespace }}/{{ include "posthorn.fullname" . }}-worker
{{- end -}}

{{- define "posthorn.databaseEnv" -}}
- name: POSTHORN_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ required "secrets.databaseURL.name must be set" .Values.secrets.databaseURL.name | quote }}, key: {{ .Values.secrets.databaseURL.key | quote }}}}
{{- end -}}

{{/* The variables of every process: dict "root" $ "controlled" whether the Temporal Worker Controller adds how to reach Temporal */}}
{{- define "posthorn.env" -}}
{{- $v := .root.Values -}}
{{- $root := .root -}}
{{ include "posthorn.databaseEnv" $root }}
- name: POSTHORN_ENCRYPTION_KEYSET
  valueFrom: {secretKeyRef: {name: {{ required "secrets.encryptionKeyset.name must be set" $v.secrets.encryptionKeyset.name | quote }}, key: {{ $v.secrets.encryptionKeyset.key | quote }}}}
{{- range $variable, $ref := dict "POSTHORN_ADMIN_KEY" $v.secrets.adminKey "POSTHORN_ADMIN_KEYS" $v.secrets.adminKeys "POSTHORN_SMTP_URL" $v.secrets.smtpURL "TEMPORAL_API_KEY" $v.secrets.temporalAPIKey }}
{{- if and $ref.name (not (and $.controlled (eq $variable "TEMPORAL_API_KEY"))) }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ $ref.name | quote }}, key: {{ $ref.key | quote }}}}
{{- end }}
{{- end }}
- {name: POSTHORN_ADDR, value: ":8080"}
{{- if .controlled }}
- {name: POSTHORN_DEPLOYMENT, value: {{ include "posthorn.workerDeployment" $root | quote }}}
{{- else }}
- {name: TEMPORAL_ADDRESS, value: {{ required "temporal.address must be set" $v.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ $v.temporal.namespace | quote }}}
{{- end }}
{{- with $v.temporal.tls }}
{{- if and .enabled (not $.controlled) }}
- {name: TEMPORAL_TLS, value: "true"}
{{- end }}
{{- with .serverName }}
- {name: TEMPORAL_TLS_SERVER_NAME, value: {{ . | quote }}}
{{- end }}
{{- if .secretName }}
{{- if not $.controlled }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/posthorn/temporal/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/posthorn/temporal/tls.key}
{{- end }}
{{- if .ca }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: {{ ternary "/etc/temporal/tls" "/etc/posthorn/temporal" (default false $.controlled) }}/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := $v.config }}
- {name: {{ $name }}, value: {{ if kindIs "float64" $value }}{{ $value | toJson | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "posthorn.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "posthorn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A pod's template: dict "root" $ "name" api|worker|serve "values" … "controlled" as in posthorn.env */}}
{{- define "posthorn.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "posthorn.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
    {{- if ne .name "worker" }}
    posthorn-api: "true"
    {{- end }}
    {{- with .values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "posthorn.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false # variables such as POSTHORN_PORT would look like settings
  terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
  {{- with $root.Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "posthorn.podSecurity" $root | nindent 4 }}
  containers:
    - name: posthorn
      image: {{ include "posthorn.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [{{ .name }}]
      env:
        {{- include "posthorn.env" (dict "root" $root "controlled" .controlled) | nindent 8 }}
      ports:
        - {name: http, containerPort: 8080, protocol: TCP}
      # The schema may have to be migrated first, and Temporal be reached.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      # A process that is asked to stop is not ready at once, and serves for 5 s more.
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 1
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        {{- include "posthorn.containerSecurity" $root | nindent 8 }}
      {{- if and $root.Values.temporal.tls.secretName (not .controlled) }}
      volumeMounts:
        - {name: temporal-tls, mountPath: /etc/posthorn/temporal, readOnly: true}
      {{- end }}
  {{- if and $root.Values.temporal.tls.secretName (not .controlled) }}
  volumes:
    - name: temporal-tls
      secret: {secretName: {{ $root.Values.temporal.tls.secretName | quote }}, defaultMode: 0440}
  {{- end }}
  {{- with $root.Values.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - maxSkew: {{ .maxSkew }}
      topologyKey: {{ .topologyKey }}
      whenUnsatisfiable: {{ .whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "posthorn.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.name }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A Deployment: dict "root" $ "name" api|worker|serve "values" … "scaled" whether something else sets the replicas */}}
{{- define "posthorn.deployment" -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "posthorn.fullname" $root }}-{{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "posthorn.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  {{- if not .scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "posthorn.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .name }}
  template:
    {{- include "posthorn.pod" . | nindent 4 }}
{{- end -}}

{{- define "posthorn.meta" -}}
name: {{ include "posthorn.fullname" .root }}-{{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "posthorn.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "posthorn.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "posthorn.meta" . | nindent 2 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "posthorn.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "posthorn.hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "posthorn.meta" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "posthorn.fullname" .root }}-{{ .name }}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .values.autoscaling.targetCPU }}}
{{- end -}}
