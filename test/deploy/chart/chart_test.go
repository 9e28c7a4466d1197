package chart

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/yannh/kubeconform/pkg/validator"
	"sigs.k8s.io/yaml"
)

const (
	root  = "../../../"
	chart = root + "deploy/helm/posthorn"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}

// helm runs the program that the environment names: `make check-deploy` builds it.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	program := os.Getenv("HELM")
	require.NotEmpty(t, program, "HELM must name the program: run make check-deploy")
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	err = cmd.Run()
	return out.String(), failure.String(), err
}

type object = map[string]any

// render returns what the chart makes of a values file, by kind and name.
func render(t *testing.T, values string, args ...string) map[string]object {
	t.Helper()
	out, failure, err := helm(t, append([]string{"template", "main", chart, "--namespace", "prod", "--values", filepath.Join(chart, "ci", values)}, args...)...)
	require.NoError(t, err, failure)
	all := map[string]object{}
	for document := range strings.SplitSeq(out, "\n---\n") {
		var o object
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &o), document)
		if o == nil {
			continue
		}
		id := o["kind"].(string) + " " + at[string](t, o, "metadata", "name")
		require.NotContains(t, all, id)
		all[id] = o
	}
	return all
}

// at follows names and indexes into an object.
func at[T any](t *testing.T, value any, path ...any) T {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o, _ := value.(object)
			require.Contains(t, o, step)
			value = o[step]
		case int:
			list, _ := value.([]any)
			require.Greater(t, len(list), step, "%v", path)
			value = list[step]
		}
	}
	typed, ok := value.(T)
	require.True(t, ok, "%v is a %T", path, value)
	return typed
}

func valuesFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chart, "ci", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 4)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

// For all values, the chart passes lint, and Kubernetes, KEDA, an operator or a controller knows every object.
func TestChart_MakesKnownObjects(t *testing.T) {
	t.Parallel()
	check, err := validator.New([]string{"../schemas/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"}, validator.Opts{Strict: true})
	require.NoError(t, err)
	for _, values := range valuesFiles(t) {
		out, failure, err := helm(t, "lint", "--strict", chart, "--values", filepath.Join(chart, "ci", values))
		require.NoError(t, err, "%s%s", out, failure)
		out, failure, err = helm(t, "template", "main", chart, "--values", filepath.Join(chart, "ci", values))
		require.NoError(t, err, failure)
		for _, result := range check.Validate(values, io.NopCloser(strings.NewReader(out))) {
			if result.Status == validator.Empty {
				continue
			}
			require.Equal(t, validator.Valid, result.Status, "%s: %v\n%s", values, result.Err, result.Resource.Bytes)
		}
	}
	for _, wrong := range []string{"spec: {replica: 2}", "spec: {replicas: two}"} {
		deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n" + wrong
		require.Equal(t, validator.Invalid, check.Validate("wrong", io.NopCloser(strings.NewReader(deployment)))[0].Status, wrong)
	}
}

func TestChart_MakesWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	kinds := func(values string) []string {
		return slices.Sorted(maps.Keys(render(t, values)))
	}
	require.Equal(t, []string{"Deployment main-posthorn-api", "Deployment main-posthorn-worker", "Job main-posthorn-migrate",
		"NetworkPolicy main-posthorn", "Pod main-posthorn-test", "PodDisruptionBudget main-posthorn-api", "PodDisruptionBudget main-posthorn-worker",
		"Service main-posthorn", "Service main-posthorn-metrics", "ServiceAccount main-posthorn"}, kinds("minimal.yaml"))
	require.Equal(t, []string{"Deployment main-posthorn-serve", "Pod main-posthorn-test", "Service main-posthorn", "Service main-posthorn-metrics"},
		kinds("serve.yaml"))
	require.Equal(t, []string{"ConfigMap hooks-dashboard-engine", "ConfigMap hooks-dashboard-overview", "ConfigMap hooks-dashboard-webhook",
		"Deployment hooks-api", "Deployment hooks-serve", "Deployment hooks-worker", "HorizontalPodAutoscaler hooks-api", "HorizontalPodAutoscaler hooks-serve",
		"Ingress hooks", "Job hooks-migrate", "NetworkPolicy hooks", "Pod hooks-test", "PodDisruptionBudget hooks-api", "PodDisruptionBudget hooks-serve",
		"PodDisruptionBudget hooks-worker", "PrometheusRule hooks", "ScaledObject hooks-worker", "Service hooks", "Service hooks-metrics", "ServiceAccount hooks",
		"ServiceMonitor hooks"}, kinds("everything.yaml"))
	require.Equal(t, []string{"Connection main-posthorn-worker", "Deployment main-posthorn-api", "Job main-posthorn-migrate",
		"NetworkPolicy main-posthorn", "Pod main-posthorn-test", "PodDisruptionBudget main-posthorn-api", "PodDisruptionBudget main-posthorn-worker",
		"Service main-posthorn", "Service main-posthorn-metrics", "ServiceAccount main-posthorn", "WorkerDeployment main-posthorn-worker"}, kinds("controller.yaml"))
}

func TestChart_RefusesWrongValues(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"config.POSTHORN_RETENTIOM=30d":                               "POSTHORN_RETENTIOM",
		"config.POSTHORN_DATABASE_URL=postgres://a/b":                 "POSTHORN_DATABASE_URL",
		"temporal.address=":                                           "address",
		"secrets.databaseURL.name=":                                   "secrets.databaseURL.name must be set",
		"worker.enabled=false":                                        "enable serve, or both api and worker",
		"ingress.enabled=true":                                        "ingress.host must be set",
		"ingress.paths={/metrics}":                                    "/ingress/paths/0",
		"terminationGracePeriodSeconds=30":                            "terminationGracePeriodSeconds",
		"worker.keda.minReplicas=0":                                   "minReplicas",
		"image.digest=sha256:1":                                       "digest",
		"extraEnv[0].name=POSTHORN_X,extraEnv[0].value=1":             "extraEnv",
		"worker.controller.rollout.strategy=Progressive":              "steps",
		"worker.controller.sunset.deleteDelay=day":                    "deleteDelay",
		"worker.controller.enabled=true,serve.enabled=true":           "worker.controller needs api and worker apart",
		"worker.controller.enabled=true,worker.keda.enabled=true":     "worker.controller and worker.keda exclude each other",
		"worker.controller.enabled=true,config.POSTHORN_DEPLOYMENT=x": "leave config.POSTHORN_DEPLOYMENT out",
		"worker.controller.enabled=true,temporal.tls.enabled=true":    "worker.controller uses TLS only with",
		"worker.controller.enabled=true,temporal.tls.secretName=a,secrets.temporalAPIKey.name=b": "not with both",
	} {
		_, failure, err := helm(t, "template", "main", chart, "--values", filepath.Join(chart, "ci/minimal.yaml"), "--set", set)
		require.Error(t, err, set)
		require.Contains(t, failure, want)
	}
}

// pods returns the pod specs, by the name of their owner.
func pods(t *testing.T, all map[string]object) map[string]object {
	t.Helper()
	found := map[string]object{}
	for id, o := range all {
		switch o["kind"] {
		case "Deployment", "Job", "WorkerDeployment":
			found[id] = at[object](t, o, "spec", "template", "spec")
		case "Pod":
			found[id] = at[object](t, o, "spec")
		}
	}
	return found
}

// Every pod runs without rights, and every process stops, is probed and is started as Posthorn means it.
func TestChart_PodsRunAsPosthornMeans(t *testing.T) {
	t.Parallel()
	for _, values := range valuesFiles(t) {
		for id, spec := range pods(t, render(t, values)) {
			require.Equal(t, false, spec["automountServiceAccountToken"], id)
			require.True(t, at[bool](t, spec, "securityContext", "runAsNonRoot"), id)
			require.InDelta(t, 65532, at[float64](t, spec, "securityContext", "runAsUser"), 0, id)
			container := at[object](t, spec, "containers", 0)
			require.True(t, at[bool](t, container, "securityContext", "readOnlyRootFilesystem"), id)
			require.False(t, at[bool](t, container, "securityContext", "allowPrivilegeEscalation"), id)
			require.NotContains(t, container, "command", "%s: the image's entrypoint is posthorn", id)
			if !strings.Contains(id, "Deployment ") {
				continue
			}
			require.True(t, strings.HasSuffix(id, "-"+at[string](t, container, "args", 0)), id)
			require.GreaterOrEqual(t, at[float64](t, spec, "terminationGracePeriodSeconds"), 50.0, "a process takes 45 s")
			require.Equal(t, "/healthz", at[string](t, container, "livenessProbe", "httpGet", "path"))
			require.Equal(t, "/readyz", at[string](t, container, "readinessProbe", "httpGet", "path"))
			require.InDelta(t, 8080, at[float64](t, container, "ports", 0, "containerPort"), 0)
			require.Equal(t, ":8080", env(t, container)["POSTHORN_ADDR"])
		}
	}
}

// env returns a container's variables; those of a secret as "secret/key".
func env(t *testing.T, container object) map[string]string {
	t.Helper()
	all := map[string]string{}
	for i := range at[[]any](t, container, "env") {
		v := at[object](t, container, "env", i)
		name := v["name"].(string)
		require.NotContains(t, all, name)
		if value, ok := v["value"].(string); ok {
			all[name] = value
			continue
		}
		ref := at[object](t, v, "valueFrom", "secretKeyRef")
		all[name] = ref["name"].(string) + "/" + ref["key"].(string)
	}
	return all
}

func TestChart_SettingsReachTheProcesses(t *testing.T) {
	t.Parallel()
	everything := render(t, "everything.yaml")
	require.Equal(t, map[string]string{"POSTHORN_DATABASE_URL": "posthorn/database-url"}, env(t, at[object](t, everything["Job hooks-migrate"], "spec", "template", "spec", "containers", 0)))
	worker := env(t, at[object](t, everything["Deployment hooks-worker"], "spec", "template", "spec", "containers", 0))
	require.Equal(t, map[string]string{
		"POSTHORN_DATABASE_URL": "posthorn/database-url", "POSTHORN_ENCRYPTION_KEYSET": "posthorn/encryption-keyset", "POSTHORN_ADMIN_KEY": "posthorn/admin-key",
		"POSTHORN_ADMIN_KEYS": "posthorn-admins/keys", "POSTHORN_SMTP_URL": "mail/url", "TEMPORAL_API_KEY": "temporal-cloud/api-key", "POSTHORN_ADDR": ":8080",
		"TEMPORAL_ADDRESS": "acme.a1b2c.tmprl.cloud:7233", "TEMPORAL_NAMESPACE": "acme.a1b2c", "POSTHORN_LOG_FORMAT": "json",
		"POSTHORN_PUBLIC_URL": "https://hooks.example.com", "POSTHORN_TRUSTED_PROXIES": "10.0.0.0/8", "POSTHORN_RETENTION": "30d", "POSTHORN_MAX_POSTS": "2048",
		"POSTHORN_FAILURE_THRESHOLD": "3000000", "POSTHORN_REQUEST_RATE": "2.5", "POSTHORN_ALLOW_HTTP": "false", "POSTHORN_TASK_QUEUE": "hooks",
		"POSTHORN_DEPLOYMENT": "hooks", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.observability:4318",
	}, worker)
	serve := env(t, at[object](t, render(t, "serve.yaml")["Deployment main-posthorn-serve"], "spec", "template", "spec", "containers", 0))
	require.NotContains(t, serve, "POSTHORN_ADMIN_KEY")
	require.Equal(t, "true", serve["TEMPORAL_TLS"])
	require.Equal(t, "/etc/posthorn/temporal/tls.crt", serve["TEMPORAL_TLS_CLIENT_CERT_PATH"])
	require.Equal(t, "/etc/posthorn/temporal/ca.crt", serve["TEMPORAL_TLS_SERVER_CA_CERT_PATH"])
}

// The chart leaves to the controller its own additions to a worker's pods (Temporal's address, the volume of client
// certificates). The worker's Worker Deployment and build id are those by which the controller knows it.
func TestChart_ControllerAndWorkerNameTheSameVersion(t *testing.T) {
	t.Parallel()
	all := render(t, "controller.yaml")
	of := all["WorkerDeployment main-posthorn-worker"]
	container := at[object](t, of, "spec", "template", "spec", "containers", 0)
	require.Equal(t, map[string]string{
		"POSTHORN_DATABASE_URL": "posthorn/database-url", "POSTHORN_ENCRYPTION_KEYSET": "posthorn/encryption-keyset", "POSTHORN_ADMIN_KEY": "posthorn/admin-key",
		"POSTHORN_ADDR": ":8080", "POSTHORN_LOG_FORMAT": "json", "POSTHORN_DEPLOYMENT": "prod/main-posthorn-worker",
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/etc/temporal/tls/ca.crt",
	}, env(t, container))
	require.NotContains(t, container, "volumeMounts")
	require.NotContains(t, at[object](t, of, "spec", "template", "spec"), "volumes")
	require.True(t, strings.HasSuffix(at[string](t, container, "image"), ":"+at[string](t, of, "spec", "workerOptions", "unsafeCustomBuildID")))
	require.Equal(t, "main-posthorn-worker", at[string](t, of, "spec", "workerOptions", "connectionRef", "name"))
	require.Equal(t, "temporal-client", at[string](t, all["Connection main-posthorn-worker"], "spec", "mutualTLSSecretRef", "name"))
	api := env(t, at[object](t, all["Deployment main-posthorn-api"], "spec", "template", "spec", "containers", 0))
	require.NotContains(t, api, "POSTHORN_DEPLOYMENT")
	require.Equal(t, "/etc/posthorn/temporal/ca.crt", api["TEMPORAL_TLS_SERVER_CA_CERT_PATH"])
	selected := at[object](t, all["PodDisruptionBudget main-posthorn-worker"], "spec", "selector", "matchLabels")
	require.Subset(t, at[object](t, of, "spec", "template", "metadata", "labels"), selected)
}

// Pods reach the internet, and inside only the database, Temporal and the named services.
func TestChart_PodsReachNothingInside(t *testing.T) {
	t.Parallel()
	egress := at[[]any](t, render(t, "minimal.yaml")["NetworkPolicy main-posthorn"], "spec", "egress")
	require.Len(t, egress, 4)
	require.Equal(t, []any{object{"port": 53.0, "protocol": "UDP"}, object{"port": 53.0, "protocol": "TCP"}}, at[[]any](t, egress, 0, "ports"))
	require.Equal(t, []any{object{"port": 5432.0, "protocol": "TCP"}}, at[[]any](t, egress, 1, "ports"))
	require.Equal(t, []any{object{"port": 7233.0, "protocol": "TCP"}}, at[[]any](t, egress, 2, "ports"))
	except := at[[]any](t, egress, 3, "to", 0, "ipBlock", "except")
	for _, inside := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"} {
		require.Contains(t, except, inside)
	}
	require.Contains(t, at[[]any](t, egress, 3, "to", 1, "ipBlock", "except"), "fc00::/7")

	policy := render(t, "everything.yaml")["NetworkPolicy hooks"]
	require.Len(t, at[[]any](t, policy, "spec", "egress"), 5)
	require.Equal(t, "10.1.2.0/24", at[string](t, policy, "spec", "egress", 1, "to", 0, "ipBlock", "cidr"))
	require.Len(t, at[[]any](t, policy, "spec", "ingress", 0, "from"), 1)
}

// The scalers query what exists: KEDA's scaler queries each of Posthorn's task queues.
func TestChart_WorkersScaleByEveryTaskQueue(t *testing.T) {
	t.Parallel()
	everything := render(t, "everything.yaml")
	require.NotContains(t, at[object](t, everything["Deployment hooks-worker"], "spec"), "replicas")
	require.NotContains(t, at[object](t, everything["Deployment hooks-api"], "spec"), "replicas")
	require.Equal(t, "hooks-worker", at[string](t, everything["ScaledObject hooks-worker"], "spec", "scaleTargetRef", "name"))
	require.Equal(t, "hooks-api", at[string](t, everything["HorizontalPodAutoscaler hooks-api"], "spec", "scaleTargetRef", "name"))

	var known object
	text, err := os.ReadFile("../schemas/keda-temporal.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &known))
	names := read(t, "workflows/names.go")
	var queues []string
	for i := range at[[]any](t, everything["ScaledObject hooks-worker"], "spec", "triggers") {
		metadata := at[object](t, everything["ScaledObject hooks-worker"], "spec", "triggers", i, "metadata")
		for name, value := range metadata {
			require.Contains(t, known["properties"], name)
			require.IsType(t, "", value)
		}
		for _, name := range known["required"].([]any) {
			require.Contains(t, metadata, name)
		}
		queue := metadata["taskQueue"].(string)
		queues = append(queues, queue)
		require.Contains(t, names, `q.prefix`+strings.TrimSuffix(` + "`+strings.TrimPrefix(queue, "hooks")+`"`, ` + ""`))
		require.Equal(t, "true", metadata["enableTLS"])
		require.Equal(t, "0.1.0", metadata["workerDeploymentBuildId"])
	}
	require.Len(t, regexp.MustCompile(`(?m)^func \(q Queues\) \w+\(\) string`).FindAllString(names, -1), len(queues), "%v", queues)
}

// The chart carries the alerts and dashboards of deploy, and Prometheus gives its scrapes the job that they name.
func TestChart_CarriesAlertsAndDashboards(t *testing.T) {
	t.Parallel()
	everything := render(t, "everything.yaml")
	var rules object
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, "deploy/prometheus/posthorn.rules.yaml")), &rules))
	require.Equal(t, rules, at[object](t, everything["PrometheusRule hooks"], "spec"))
	for _, name := range []string{"overview", "webhook", "engine"} {
		require.Equal(t, read(t, "deploy/grafana/"+name+".json"), at[string](t, everything["ConfigMap hooks-dashboard-"+name], "data", "posthorn-"+name+".json"))
	}
	label := at[string](t, everything["ServiceMonitor hooks"], "spec", "jobLabel")
	require.Equal(t, "posthorn", at[string](t, everything["Service hooks-metrics"], "metadata", "labels", label))
	selected := at[object](t, everything["ServiceMonitor hooks"], "spec", "selector", "matchLabels")
	require.Subset(t, at[object](t, everything["Service hooks-metrics"], "metadata", "labels"), selected)
	require.NotEqual(t, selected["app.kubernetes.io/component"], at[object](t, everything["Service hooks"], "metadata", "labels")["app.kubernetes.io/component"])
}
