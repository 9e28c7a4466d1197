package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// posted parses a request as a server would.
func posted(t *testing.T, r *request) (*http.Request, []byte) {
	t.Helper()
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.bytes)))
	require.NoError(t, err)
	body, err := io.ReadAll(parsed.Body)
	require.NoError(t, err)
	return parsed, body
}

func TestBenchRequest_PublishPreparesOneEvent(t *testing.T) {
	t.Parallel()
	r := publish(&url.URL{Host: "127.0.0.1:8080", Path: "/base/"}, "key", "acme", "order.created", 1, 1024, labels{})
	r.number(4711)
	head, body := posted(t, r)
	require.Equal(t, "/base/v1/tenants/acme/events", head.URL.Path)
	require.Equal(t, "127.0.0.1:8080", head.Host)
	require.Equal(t, "Bearer key", head.Header.Get("Authorization"))
	require.Equal(t, "application/json", head.Header.Get("Content-Type"))
	var event struct {
		Type string
		Data json.RawMessage
	}
	require.NoError(t, json.Unmarshal(body, &event))
	require.Equal(t, "order.created", event.Type)
	require.Len(t, event.Data, 1024)
	require.Contains(t, string(event.Data), `"seq":"00004711"`)
}

func TestBenchRequest_PublishPreparesABatch(t *testing.T) {
	t.Parallel()
	r := publish(&url.URL{Host: "127.0.0.1:8080"}, "key", "acme", "order.created", 3, 0, labels{})
	for _, first := range []int{0, 12345678} { // numbered again and again
		r.number(first)
		head, body := posted(t, r)
		require.Equal(t, "/v1/tenants/acme/events/batch", head.URL.Path)
		var batch struct {
			Events []struct{ Data struct{ Seq string } }
		}
		require.NoError(t, json.Unmarshal(body, &batch))
		require.Len(t, batch.Events, 3)
		for i, e := range batch.Events {
			require.Equal(t, first+i, digits([]byte(e.Data.Seq)))
		}
	}
}

func TestBenchRequest_Digits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"00000000": 0, "00000042": 42, "99999999": 99999999, "0000 042": -1, "-0000042": -1, "0000004a": -1} {
		require.Equal(t, want, digits([]byte(text)), text)
	}
}

func TestBenchRequest_PublishCarriesLabels(t *testing.T) {
	t.Parallel()
	o := Options{Tags: 2, Channels: 1}
	_, body := posted(t, publish(&url.URL{Host: "127.0.0.1:8080"}, "key", "acme", "order.created", 1, 0, o.labels()))
	var event struct {
		Type           string
		Tags, Channels []string
	}
	require.NoError(t, json.Unmarshal(body, &event))
	require.Equal(t, []string{"tag-1", "tag-2"}, event.Tags)
	require.Equal(t, []string{"channel-1"}, event.Channels)
	require.Equal(t, "; tags on each event: 2; channels on each event and its webhooks: 1", o.beside())
}
