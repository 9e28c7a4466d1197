package catalog_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/wire"
)

// all returns every catalogue by system, the operational one among them.
func all(t *testing.T) map[string][]catalog.EventType {
	t.Helper()
	catalogs := map[string][]catalog.EventType{"operational": catalog.Operational()}
	for _, system := range catalog.Systems() {
		types, ok := catalog.Load(system)
		require.True(t, ok, system)
		catalogs[system] = types
	}
	return catalogs
}

func names(types []catalog.EventType) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	return names
}

func TestCatalog_EveryProfileOfASystemHasItsCatalogue(t *testing.T) {
	t.Parallel()
	own := map[string]bool{wire.ProfileStandard: true, wire.ProfileSvix: true} // their users name the types
	require.Equal(t, slices.DeleteFunc(wire.Profiles(), func(p string) bool { return own[p] }), catalog.Systems())
}

func TestCatalog_UnknownSystem(t *testing.T) {
	t.Parallel()
	types, ok := catalog.Load("standard")
	require.False(t, ok)
	require.Empty(t, types)
}

func TestCatalog_Names(t *testing.T) {
	t.Parallel()
	for system, want := range map[string]string{
		"im4": "order.created order.changed proofreading.sent proofreading.updated test",
		"phrase": "JOB_STATUS_CHANGED JOB_CREATED JOB_ASSIGNED JOB_DUE_DATE_CHANGED JOB_UPDATED PROJECT_CREATED " +
			"PROJECT_STATUS_CHANGED PROJECT_DUE_DATE_CHANGED PROJECT_TEMPLATE_CREATED PROJECT_TEMPLATE_UPDATED " +
			"PROJECT_TEMPLATE_DELETED SHARED_PROJECT_ASSIGNED PROJECT_METADATA_UPDATED PRE_TRANSLATION_FINISHED " +
			"ANALYSIS_CREATED CONTINUOUS_JOB_UPDATED " +
			"JOB_DELETED JOB_TARGET_UPDATED JOB_EXPORTED JOB_UNEXPORTED PROJECT_DELETED " +
			"JOB_UNSHARED PROJECT_UNSHARED JOB_AUTO_LQA_FINISHED JOB_METADATA_UPDATED JOB_CUSTOM_FIELDS_UPDATED",
		"languageweaver": "translation.created translation.statusChanged adaptedlp.created adaptedlp.statusChanged sampleEvent",
		"ewarehousing": "article.created article.updated article.deleted batch.updated " +
			"inbound.created inbound.updated inbound.completed " +
			"modification.created modification.updated modification.approved modification.disapproved " +
			"order.created order.updated order.planned order.processing order.shipped " +
			"shipment.created shipment.updated stock.updated variant.created variant.updated variant.deleted",
		"up42": "job.status order.status",
		"operational": catalog.WebhookDeactivated + " " + catalog.WebhookWarning + " webhook.created webhook.updated webhook.deleted webhook.enabled " +
			"webhook.delivery.failing webhook.delivery.failed webhook.delivery.recovered",
	} {
		require.Equal(t, strings.Fields(want), names(all(t)[system]), system)
	}
}

func TestCatalog_TestOnly(t *testing.T) {
	t.Parallel()
	var testOnly []string
	for system, types := range all(t) {
		for _, et := range types {
			if et.TestOnly {
				testOnly = append(testOnly, system+"/"+et.Name)
			}
		}
	}
	require.ElementsMatch(t, []string{"im4/test", "languageweaver/sampleEvent"}, testOnly)
}

func TestCatalog_EntriesAreComplete(t *testing.T) {
	t.Parallel()
	for system, types := range all(t) {
		seen := map[string]bool{}
		for _, et := range types {
			require.False(t, seen[et.Name], "%s/%s twice", system, et.Name)
			seen[et.Name] = true
			require.NotEmpty(t, et.Title, "%s/%s", system, et.Name)
			require.NotEmpty(t, et.Category, "%s/%s", system, et.Name)
			require.NotEmpty(t, et.Description, "%s/%s", system, et.Name)
		}
	}
}

// The seed lists Phrase's events by their titles alone; these are its sixteen lines.
func TestCatalog_PhraseTitlesAreTheSeeds(t *testing.T) {
	t.Parallel()
	want := []string{
		"Job status changed", "Job created", "Job assigned", "Job due date changed", "Job updated", "Project created",
		"Project status changed", "Project due date changed", "Project template created", "Project template changed",
		"Project template deleted", "Shared project assigned", "Project metadata updated", "Pre-translation finished",
		"Analysis created", "Continuous job updated",
	}
	types, _ := catalog.Load("phrase")
	titles := make([]string, len(want))
	for i := range want {
		titles[i] = types[i].Title
	}
	require.Equal(t, want, titles)
}

func compile(t *testing.T, et catalog.EventType) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(et.Schema))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("schema.json", doc))
	schema, err := c.Compile("schema.json")
	require.NoError(t, err)
	return schema
}

func TestCatalog_ExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	for system, types := range all(t) {
		for _, et := range types {
			schema := compile(t, et)
			require.Equal(t, 2020, schema.DraftVersion, "%s/%s", system, et.Name)
			example, err := jsonschema.UnmarshalJSON(bytes.NewReader(et.Example))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(example), "%s/%s", system, et.Name)
		}
	}
}

// The envelope's additions may be posted but need not be, and further members may be posted too.
func TestCatalog_SchemasAreOpen(t *testing.T) {
	t.Parallel()
	envelope := []string{"event", "timestamp", "eventUid", "group", "action", "entity", "entityId", "customer"}
	for system, types := range all(t) {
		for _, et := range types {
			schema := compile(t, et)
			var data map[string]any
			require.NoError(t, json.Unmarshal(et.Example, &data))
			for _, name := range envelope {
				delete(data, name)
			}
			require.NoError(t, schema.Validate(data), "%s/%s without envelope", system, et.Name)
			for _, name := range append(envelope, "somethingNew") {
				data[name] = "x"
			}
			require.NoError(t, schema.Validate(data), "%s/%s with more", system, et.Name)
		}
	}
}

func TestCatalog_OnlyDocumentedPayloadsAreRequired(t *testing.T) {
	t.Parallel()
	documented := map[string][]string{
		"im4":    {"order.created", "order.changed", "proofreading.sent", "proofreading.updated", "test"},
		"phrase": {"JOB_STATUS_CHANGED", "JOB_CREATED", "JOB_ASSIGNED", "JOB_DUE_DATE_CHANGED"},
		"operational": {catalog.WebhookDeactivated, catalog.WebhookWarning, "webhook.created", "webhook.updated", "webhook.deleted", "webhook.enabled",
			"webhook.delivery.failing", "webhook.delivery.failed", "webhook.delivery.recovered"},
	}
	for system, types := range all(t) {
		for _, et := range types {
			schema := compile(t, et)
			err := schema.Validate(map[string]any{})
			if slices.Contains(documented[system], et.Name) {
				require.Error(t, err, "%s/%s of nothing", system, et.Name)
			} else {
				require.NoError(t, err, "%s/%s of nothing", system, et.Name)
			}
			require.Error(t, schema.Validate("text"), "%s/%s of no object", system, et.Name)
		}
	}
}

func example(t *testing.T, system, name string) json.RawMessage {
	t.Helper()
	types, _ := catalog.Load(system)
	i := slices.IndexFunc(types, func(et catalog.EventType) bool { return et.Name == name })
	require.GreaterOrEqual(t, i, 0, "%s/%s", system, name)
	return types[i].Example
}

func seeds(t *testing.T, system string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "seeds", system, "*.json"))
	require.NoError(t, err)
	payloads := make(map[string][]byte, len(paths))
	for _, path := range paths {
		payload, err := os.ReadFile(path)
		require.NoError(t, err)
		payloads[strings.TrimSuffix(filepath.Base(path), ".json")] = payload
	}
	return payloads
}

// testdata/seeds/phrase holds the examples of Phrase's documentation.
func TestCatalog_PhraseExamplesAreTheSeeds(t *testing.T) {
	t.Parallel()
	payloads := seeds(t, "phrase")
	require.Len(t, payloads, 4)
	for name, payload := range payloads {
		require.JSONEq(t, string(payload), string(example(t, "phrase", name)))

		var want, have map[string]any
		require.NoError(t, json.Unmarshal(payload, &want))
		require.NoError(t, json.Unmarshal(delivered(t, "phrase", name), &have))
		require.EqualValues(t, 1767323045, have["timestamp"])
		require.Equal(t, "evt_1", have["eventUid"])
		delete(have, "timestamp")
		delete(have, "eventUid")
		require.Equal(t, want, have, "delivered as documented, except for what is added")
	}
}

// testdata/seeds/im4 holds the payloads of InMemory4's documentation, which say "Number" where a number goes.
func TestCatalog_IM4DeliveriesAreTheSeeds(t *testing.T) {
	t.Parallel()
	payloads := seeds(t, "im4")
	require.Len(t, payloads, 5)
	for name, payload := range payloads {
		want, have := members(t, payload), members(t, delivered(t, "im4", name))
		require.Len(t, have, len(want))
		for i, m := range want {
			if m.value == "Number" {
				require.Equal(t, m.name, have[i].name)
				require.IsType(t, float64(0), have[i].value)
				continue
			}
			require.Equal(t, m, have[i])
		}
	}
}

// delivered returns the body that a webhook of the system receives when the catalogue's example is published.
func delivered(t *testing.T, system, name string) []byte {
	t.Helper()
	body, err := wire.Body(wire.Webhook{Profile: system}, wire.Event{
		ID:        "evt_1",
		Tenant:    "t",
		Type:      name,
		Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Data:      example(t, system, name),
	})
	require.NoError(t, err)
	return body
}

type member struct {
	name  string
	value any
}

// members decodes a flat object in order.
func members(t *testing.T, raw []byte) []member {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	_, err := dec.Token()
	require.NoError(t, err)
	var ms []member
	for dec.More() {
		name, err := dec.Token()
		require.NoError(t, err)
		value, err := dec.Token()
		require.NoError(t, err)
		ms = append(ms, member{name.(string), value})
	}
	return ms
}

func TestCatalog_ResultsAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	for _, load := range []func() []catalog.EventType{
		func() []catalog.EventType { types, _ := catalog.Load("up42"); return types },
		catalog.Operational,
	} {
		first := load()
		want := first[0].Name
		first[0].Name = "changed"
		require.Equal(t, want, load()[0].Name)
	}
	systems := catalog.Systems()
	systems[0] = "changed"
	require.Equal(t, "im4", catalog.Systems()[0])
}

func TestCatalog_EveryFileIsLoaded(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("systems", "*.json"))
	require.NoError(t, err)
	stored := map[string]bool{}
	for _, path := range paths {
		stored[strings.TrimSuffix(filepath.Base(path), ".json")] = true
	}
	require.ElementsMatch(t, catalog.Systems(), slices.Collect(maps.Keys(stored)))
}
