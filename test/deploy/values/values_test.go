package values

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

type object = map[string]any

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../..", path))
	require.NoError(t, err)
	return string(text)
}

// variables lists what internal/config reads.
func variables(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, found := range regexp.MustCompile(`env:"(POSTHORN_[A-Z_]+)"`).FindAllStringSubmatch(read(t, "internal/config/config.go"), -1) {
		all = append(all, found[1])
	}
	require.Greater(t, len(all), 25)
	return all
}

// The chart accepts exactly the existing settings.
func TestValues_TakeEverySetting(t *testing.T) {
	t.Parallel()
	var schema object
	require.NoError(t, json.Unmarshal([]byte(read(t, "deploy/helm/posthorn/values.schema.json")), &schema))
	config := schema["properties"].(object)["config"].(object)
	settings := slices.Collect(maps.Keys(config["properties"].(object)))
	elsewhere := []string{"POSTHORN_ADDR", "POSTHORN_DATABASE_URL", "POSTHORN_ENCRYPTION_KEYSET", "POSTHORN_ADMIN_KEY", "POSTHORN_ADMIN_KEYS", "POSTHORN_SMTP_URL"}
	require.ElementsMatch(t, variables(t), slices.Concat(settings, elsewhere))
}

// The schema describes every value that values.yaml has, and values.yaml has every value that the schema describes.
func TestValues_SchemaAndValuesNameTheSame(t *testing.T) {
	t.Parallel()
	var schema, values object
	require.NoError(t, json.Unmarshal([]byte(read(t, "deploy/helm/posthorn/values.schema.json")), &schema))
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, "deploy/helm/posthorn/values.yaml")), &values))
	var compare func(path string, schema, values object)
	compare = func(path string, schema, values object) {
		properties, closed := schema["properties"].(object)
		if path != "" {
			require.NotEmpty(t, schema["description"], path)
		}
		if !closed || path == ".config" {
			return
		}
		require.Equal(t, false, schema["additionalProperties"], path)
		for name := range values {
			require.Contains(t, properties, name, path)
		}
		for name, sub := range properties {
			if path == "" && name == "global" { // Helm adds it
				continue
			}
			require.Contains(t, values, name, path)
			if nested, ok := values[name].(object); ok {
				compare(path+"."+name, sub.(object), nested)
			}
		}
	}
	compare("", schema, values)
}
