package api_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The dashboard of one webhook asks the API: each of its requests is answered, and each column is in the answer.
func TestDashboards_AskWhatTheAPIAnswers(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	w := e.Webhook("acme", "https://receiver.example/hooks")
	e.Publish("acme", "order.created", `{}`)
	type target struct {
		URL     string `json:"url"`
		Root    string `json:"root_selector"`
		Columns []struct {
			Selector string `json:"selector"`
		} `json:"columns"`
	}
	var dashboard struct {
		Panels []struct {
			Title   string   `json:"title"`
			Targets []target `json:"targets"`
		} `json:"panels"`
	}
	text, err := os.ReadFile("../deploy/grafana/webhook.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &dashboard))
	now := e.Clock.Now().UTC()
	fill := strings.NewReplacer("${tenant}", "acme", "${webhook}", w.ID, "${bucket}", "hour", "${status}", "pending",
		"${__from:date:iso}", now.Add(-24*time.Hour).Format("2006-01-02T15:04:05.000Z"), "${__to:date:iso}", now.Add(time.Second).Format("2006-01-02T15:04:05.000Z"))
	asked := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			if target.URL == "" { // it asks Prometheus
				continue
			}
			asked++
			got := e.call("GET "+fill.Replace(target.URL), "")
			require.Equal(t, 200, got.status, "%s: %v", panel.Title, got.body)
			var body map[string]any
			require.NoError(t, json.Unmarshal([]byte(got.body), &body))
			rows, _ := body[target.Root].([]any)
			require.NotEmpty(t, rows, panel.Title)
			row, _ := rows[0].(map[string]any)
			for _, column := range target.Columns {
				require.Contains(t, row, column.Selector, panel.Title)
			}
		}
	}
	require.Equal(t, 5, asked)
}
