package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// API calls Posthorn's API with one key.
type API struct {
	URL string // of the installation
	Key string // "" = none
}

// callTimeout is when a call is given up. An API that keeps its callers waiting longer counts as away.
const callTimeout = 30 * time.Second

var caller = &http.Client{
	Timeout:   callTimeout,
	Transport: &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: time.Second},
}

// Reply is an answer of the API.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes one call, "METHOD /path". A string as body is sent unchanged, another value as JSON, and nil means no body.
// header has names and values in turn. An error means that no answer came.
func (a API) Do(ctx context.Context, route string, body any, header ...string) (Reply, error) {
	method, path, _ := strings.Cut(route, " ")
	var content io.Reader
	if body != nil {
		text, err := encode(body)
		if err != nil {
			return Reply{}, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.URL+path, content)
	if err != nil {
		return Reply{}, err
	}
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.Key != "" {
		request.Header.Set("Authorization", "Bearer "+a.Key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
		if strings.EqualFold(header[i], "Content-Type") {
			request.Header.Set(header[i], header[i+1])
		}
	}
	response, err := caller.Do(request)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Reply{}, err
	}
	return Reply{response.StatusCode, response.Header, text}, nil
}

func encode(body any) ([]byte, error) {
	if text, ok := body.(string); ok {
		return []byte(text), nil
	}
	return json.Marshal(body)
}

// Call makes one call that must be answered with this status.
func (a API) Call(tb testing.TB, status int, route string, body any, header ...string) Reply {
	tb.Helper()
	reply, err := a.Do(tb.Context(), route, body, header...)
	if err != nil {
		tb.Fatalf("%s: %v", route, err)
	}
	if reply.Status != status {
		tb.Fatalf("%s answered %d, not %d: %s", route, reply.Status, status, reply.Body)
	}
	return reply
}

// Read decodes an answer.
func Read[T any](tb testing.TB, r Reply) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal(r.Body, &v); err != nil {
		tb.Fatalf("%v in %s", err, r.Body)
	}
	return v
}

// Get reads a path of the API.
func Get[T any](tb testing.TB, a API, path string) T {
	tb.Helper()
	return Read[T](tb, a.Call(tb, http.StatusOK, "GET "+path, nil))
}

// Ready reports whether the installation can serve.
func (a API) Ready(ctx context.Context) error {
	reply, err := a.Do(ctx, "GET /readyz", nil)
	if err == nil && reply.Status != http.StatusOK {
		err = fmt.Errorf("not ready: %s", reply.Body)
	}
	return err
}
