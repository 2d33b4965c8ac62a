{{/* "repository:tag" of an image; the tag is that of muster by default. */}}
{{- define "muster-job.image" -}}
{{- $tag := .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{ .image.repository }}:{{ $tag }}
{{- end -}}

{{- define "muster-job.labels" -}}
app.kubernetes.io/name: muster-job
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{/* The name of what goes with a release; short enough for the names of pods. */}}
{{- define "muster-job.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{- define "muster-job.account" -}}
{{ .Values.serviceAccount.name | default (include "muster-job.name" .) }}
{{- end -}}

{{/* Where the nodes FIRST to FIRST+COUNT-1 listen: "{addr[0]}:8000,{addr[1]}:8000". */}}
{{- define "muster-job.hosts" -}}
{{- $hosts := list -}}
{{- range $i := until (int .count) -}}
{{- $hosts = append $hosts (printf "{addr[%d]}:%d" (add (int $.first) $i) (int $.port)) -}}
{{- end -}}
{{ join "," $hosts }}
{{- end -}}

{{/* A number as it was written: those of files of values are all of floating point. */}}
{{- define "muster-job.number" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* A role of the job file. */}}
{{- define "muster-job.role" -}}
nodes: {{ int .role.number }}
image: {{ include "muster-job.image" (dict "image" .role.image "root" .root) | quote }}
{{- with .role.limit }}
{{- with .cpu }}
cpus: {{ . }}
{{- end }}
{{- with .memory }}
memory: {{ include "muster-job.number" . }}
{{- end }}
{{- end }}
{{- if .role.gpuCount }}
resources: {nvidia.com/gpu: {{ int .role.gpuCount }}}
{{- end }}
{{- end -}}

{{/* The job file: the value `job`, or one of servers and workers. */}}
{{- define "muster-job.job" -}}
{{- if .Values.job -}}
{{ .Values.job }}
{{- else -}}
{{- range $name, $role := dict "worker" .Values.worker "ps" .Values.ps -}}
{{- if ne $role.image.pullPolicy $.Values.worker.image.pullPolicy -}}
{{- fail "ps.image.pullPolicy and worker.image.pullPolicy differ: expected the same, all pods of a job have one" -}}
{{- end -}}
{{- end -}}
name: {{ include "muster-job.name" . | trunc 40 | trimSuffix "-" | quote }}
cluster:
  executor: kubernetes
  roles:
    ps: {{- include "muster-job.role" (dict "role" .Values.ps "root" .) | nindent 6 }}
    worker: {{- include "muster-job.role" (dict "role" .Values.worker "root" .) | nindent 6 }}
  kubernetes:
    image_pull_policy: {{ .Values.worker.image.pullPolicy }}
    {{- if or .Values.volumes .Values.volumeMounts }}
    pod:
      spec:
        {{- with .Values.volumes }}
        volumes: {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .Values.volumeMounts }}
        containers:
          - name: node
            volumeMounts: {{- toYaml . | nindent 14 }}
        {{- end }}
    {{- end }}
run:
  launch: ps
  command:
    {{- range .Values.command }}
    - {{ . | toString | quote }}
    {{- end }}
    {{- range $option := list (list "batch_size" "batchsize") (list "learning_rate" "learningrate") (list "train_steps" "trainsteps") (list "data_dir" "datadir") (list "log_dir" "logdir") (list "hidden_units" "hiddenunits") }}
    {{- $value := get $.Values.hyperparams (last $option) }}
    {{- if not (or (kindIs "invalid" $value) (eq ($value | toString) "")) }}
    - --{{ first $option }}
    - {{ include "muster-job.number" $value | quote }}
    {{- end }}
    {{- end }}
  {{- if or .Values.env .Values.ps.port .Values.worker.port }}
  env:
    {{- if .Values.ps.port }}
    PS_HOSTS: {{ include "muster-job.hosts" (dict "first" 0 "count" .Values.ps.number "port" .Values.ps.port) | quote }}
    {{- end }}
    {{- if .Values.worker.port }}
    WORKER_HOSTS: {{ include "muster-job.hosts" (dict "first" .Values.ps.number "count" .Values.worker.number "port" .Values.worker.port) | quote }}
    {{- end }}
    {{- range $name, $value := .Values.env }}
    {{ $name }}: {{ include "muster-job.number" $value | quote }}
    {{- end }}
  {{- end }}
metrics:
  - {name: global step, pattern: 'Worker \d+: training step \d+ done \(global step: (\d+)\)'}
{{- with .Values.outputs }}
outputs: {{ toJson . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Another job is another Job: what a Job runs cannot be changed. */}}
{{- define "muster-job.controller" -}}
{{- $what := list (include "muster-job.job" .) (toJson .Values.controller) (toJson .Values.image) (toJson .Values.serviceAccount) .Chart.AppVersion | join "\n" -}}
{{ include "muster-job.name" . }}-{{ sha256sum $what | trunc 8 }}
{{- end -}}
