package devserver

import (
	_ "embed"
	"errors"
	"fmt"

	"go.temporal.io/server/common/dynamicconfig"
	"gopkg.in/yaml.v3"
)

//go:embed dynamicconfig.yaml
var settings []byte

// dynamicConfig returns the server's settings, with overrides in place of those with the same name. The server itself
// ignores unknown names and values; here they are errors.
func dynamicConfig(overrides map[string]any) (dynamicconfig.Client, error) {
	loader := dynamicconfig.LoadYamlFile(settings)
	for name, value := range overrides {
		encoded, err := yaml.Marshal([]map[string]any{{"value": value}})
		if err != nil {
			return nil, fmt.Errorf("dynamic configuration: %s: %w", name, err)
		}
		loader.LoadValue(dynamicconfig.MakeKey(name), encoded)
	}
	if err := errors.Join(append(loader.Errors, loader.Warnings...)...); err != nil {
		return nil, fmt.Errorf("dynamic configuration: %w", err)
	}
	client := make(dynamicconfig.StaticClient, len(loader.Map))
	for key, values := range loader.Map {
		client[key] = values
	}
	return client, nil
}
