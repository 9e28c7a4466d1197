// Command schemas writes the JSON Schemas by which the chart's test judges what the chart renders: of Kubernetes' own kinds from
// the Go types of its API, of KEDA's and the Prometheus operator's from the definitions in their modules, and of the Temporal
// Worker Controller's from types of its own.
//
//	go run ./cmd/schemas schemas
//
// A type says which fields there are and of what type each is. A field without omitempty or omitzero is required. What an API server
// checks beyond that is not in them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// kinds are the Go types of which schemas are made, by the name of their file.
var kinds = map[string]any{
	"deployment_v1":              appsv1.Deployment{},
	"horizontalpodautoscaler_v2": autoscalingv2.HorizontalPodAutoscaler{},
	"job_v1":                     batchv1.Job{},
	"configmap_v1":               corev1.ConfigMap{},
	"pod_v1":                     corev1.Pod{},
	"service_v1":                 corev1.Service{},
	"serviceaccount_v1":          corev1.ServiceAccount{},
	"ingress_v1":                 networkingv1.Ingress{},
	"networkpolicy_v1":           networkingv1.NetworkPolicy{},
	"poddisruptionbudget_v1":     policyv1.PodDisruptionBudget{},
	"workerdeployment_v1alpha1":  workerDeployment{},
	"connection_v1alpha1":        connection{},
}

// workerDeployment and connection are the Temporal Worker Controller's. Its module cannot be downloaded where this was made,
// so the fields are written down here as version 1.4 documents them.
type (
	workerDeployment struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata,omitzero"`

		Spec workerDeploymentSpec `json:"spec"`
	}
	workerDeploymentSpec struct {
		Replicas      *int32                 `json:"replicas,omitempty"`
		Template      corev1.PodTemplateSpec `json:"template"`
		Rollout       controllerRollout      `json:"rollout"`
		Sunset        controllerSunset       `json:"sunset"`
		WorkerOptions controllerOptions      `json:"workerOptions"`
	}
	controllerRollout struct {
		Strategy string           `json:"strategy"`
		Steps    []controllerStep `json:"steps,omitempty"`
	}
	controllerStep struct {
		RampPercentage int    `json:"rampPercentage"`
		PauseDuration  string `json:"pauseDuration"`
	}
	controllerSunset struct {
		ScaledownDelay string `json:"scaledownDelay,omitempty"`
		DeleteDelay    string `json:"deleteDelay,omitempty"`
	}
	controllerOptions struct {
		ConnectionRef       controllerRef `json:"connectionRef"`
		TemporalNamespace   string        `json:"temporalNamespace"`
		UnsafeCustomBuildID string        `json:"unsafeCustomBuildID,omitempty"`
	}
	controllerRef struct {
		Name string `json:"name"`
	}
	connection struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata,omitzero"`

		Spec connectionSpec `json:"spec"`
	}
	connectionSpec struct {
		HostPort           string                    `json:"hostPort"`
		MutualTLSSecretRef *controllerRef            `json:"mutualTLSSecretRef,omitempty"`
		APIKeySecretRef    *corev1.SecretKeySelector `json:"apiKeySecretRef,omitempty"`
	}
)

const (
	keda     = "github.com/kedacore/keda/v2@v2.21.0"
	operator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

// definitions are CustomResourceDefinitions in modules, by the name of their file.
var definitions = map[string]struct{ module, path string }{
	"scaledobject_v1alpha1": {keda, "config/crd/bases/keda.sh_scaledobjects.yaml"},
	"servicemonitor_v1":     {operator, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"},
	"prometheusrule_v1":     {operator, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
}

type schema = map[string]any

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: schemas DIRECTORY")
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string) error {
	for name, kind := range kinds {
		defs := schema{}
		s := object(reflect.TypeOf(kind), defs)
		s["$defs"] = defs
		if err := write(dir, name, s); err != nil {
			return err
		}
	}
	scaler, err := temporalScaler(ctx)
	if err != nil {
		return err
	}
	if err := write(dir, "keda-temporal", scaler); err != nil {
		return err
	}
	for name, d := range definitions {
		s, err := custom(ctx, d.module, d.path)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := write(dir, name, s); err != nil {
			return err
		}
	}
	return nil
}

func write(dir, name string, s schema) error {
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o600) //nolint:gosec // the caller names the folder
}

// of is the schema of a type. Structs are in defs.
func of(t reflect.Type, defs schema) schema {
	switch t {
	case reflect.TypeFor[intstr.IntOrString]():
		return schema{"type": []string{"integer", "string"}}
	case reflect.TypeFor[resource.Quantity]():
		return schema{"type": []string{"string", "number"}}
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return schema{"type": []string{"string", "null"}}
	case reflect.TypeFor[metav1.FieldsV1]():
		return schema{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return of(t.Elem(), defs)
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint8:
		return schema{"type": "integer"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return schema{"type": "string"}
		}
		return schema{"type": "array", "items": of(t.Elem(), defs)}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": of(t.Elem(), defs)}
	case reflect.Struct:
		name := strings.ReplaceAll(t.String(), "/", ".")
		if _, ok := defs[name]; !ok {
			defs[name] = true // it may contain itself
			defs[name] = object(t, defs)
		}
		return schema{"$ref": "#/$defs/" + name}
	default:
		panic("no schema for " + t.String())
	}
}

// object is the schema of a struct: its fields, and no others.
func object(t reflect.Type, defs schema) schema {
	properties, required := schema{}, []string{}
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		for field := range t.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch name {
			case "-":
			case "": // embedded
				add(field.Type)
			default:
				properties[name] = of(field.Type, defs)
				if !strings.Contains(options, "omit") {
					required = append(required, name)
				}
			}
		}
	}
	add(t)
	return schema{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}

// file reads a file of a module.
func file(ctx context.Context, module, path string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", module, err)
	}
	var m struct {
		Dir string `json:"Dir"`
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(m.Dir, path))
}

var scalerField = regexp.MustCompile(`keda:"name=(\w+), +order=triggerMetadata([^"]*)"`)

// temporalScaler reads which metadata KEDA's Temporal scaler takes.
func temporalScaler(ctx context.Context) (schema, error) {
	text, err := file(ctx, keda, "pkg/scalers/temporal_scaler.go")
	if err != nil {
		return nil, err
	}
	properties, required := schema{}, []string{}
	for _, field := range scalerField.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(field[2], "deprecated") {
			continue
		}
		properties[field[1]] = schema{"type": "string"}
		if !strings.Contains(field[2], "optional") && !strings.Contains(field[2], "default=") {
			required = append(required, field[1])
		}
	}
	return schema{"type": "object", "additionalProperties": false, "properties": properties, "required": required}, nil
}

// custom reads the schema of a CustomResourceDefinition.
func custom(ctx context.Context, module, path string) (schema, error) {
	text, err := file(ctx, module, path)
	if err != nil {
		return nil, err
	}
	var d struct {
		Spec struct {
			Versions []struct {
				Storage bool
				Schema  struct{ OpenAPIV3Schema schema }
			}
		}
	}
	if err := yaml.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	for _, v := range d.Spec.Versions {
		if v.Storage {
			s := v.Schema.OpenAPIV3Schema
			closed(s)
			s["properties"].(schema)["metadata"] = schema{"type": "object"}
			return s, nil
		}
	}
	return nil, errors.New("no version is stored")
}

// closed lets objects have no other fields, as an API server would drop them, and leaves out what is for people.
func closed(s schema) {
	delete(s, "description")
	if s["x-kubernetes-int-or-string"] == true {
		delete(s, "anyOf")
		s["type"] = []string{"integer", "string"}
	}
	properties, _ := s["properties"].(schema)
	if _, open := s["additionalProperties"]; properties != nil && !open && s["x-kubernetes-preserve-unknown-fields"] != true {
		s["additionalProperties"] = false
	}
	for key := range s {
		if strings.HasPrefix(key, "x-") {
			delete(s, key)
		}
	}
	for _, p := range properties {
		closed(p.(schema))
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if sub, ok := s[key].(schema); ok {
			closed(sub)
		}
	}
}
