package jsonschema

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// GitHub's events under GitHub's schemas get the verdicts of Ajv, with its formats. The whole document stands in each
// schema, as a tenant that registers them would have it.
func TestSchemaGitHub_VerdictsAreThoseOfAjv(t *testing.T) {
	t.Parallel()
	files := readArchive(t, "testdata/github.zip")
	var document struct {
		Definitions json.RawMessage `json:"definitions"`
	}
	require.NoError(t, json.Unmarshal(files["schema.json"], &document))
	var events []struct {
		Name     string            `json:"name"`
		Examples []json.RawMessage `json:"examples"`
	}
	require.NoError(t, json.Unmarshal(files["examples.json"], &events))
	var verdicts map[string][]bool
	require.NoError(t, json.Unmarshal(files["ajv.json"], &verdicts))
	judged, accepted, most := 0, 0, 0
	for _, event := range events {
		definition := event.Name + "_event"
		if !bytes.Contains(files["schema.json"], []byte(`"`+definition+`": {`)) {
			definition = event.Name + "$event" // of events without an action
		}
		text := `{"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/` + definition + `","definitions":` +
			string(document.Definitions) + `}`
		s := compiled(t, text)
		for i, data := range event.Examples {
			budget := budgetOf(string(data))
			before := budget.steps
			violations, err := s.Validate(t.Context(), data, budget)
			require.NoError(t, err)
			require.Equal(t, verdicts[event.Name][i], len(violations) == 0, "%s %d: %v", event.Name, i, violations)
			most = max(most, (before-budget.steps)*10/len(data))
			if len(violations) == 0 {
				accepted++
			}
			judged++
		}
	}
	require.Equal(t, 329, judged)
	require.Equal(t, 276, accepted)
	require.Less(t, most, 10*stepsPerByte, "steps for ten bytes: far from the budget")
}
