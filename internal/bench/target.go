package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// target is the Posthorn under test, as its administrators see it. Measured requests go through a caller instead.
type target struct {
	base   *url.URL
	key    string
	client *http.Client
}

// manageTimeout limits one call that sets up, counts or cleans up. Deleting a large tenant takes a while.
const manageTimeout = 2 * time.Minute

// unusedFor is how long an unused connection is kept. It is less than Posthorn's time, or a call could meet a closed
// one.
const unusedFor = time.Minute

func newTarget(base, key string) (*target, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not an http URL", base)
	}
	if u.Port() == "" {
		u.Host += ":80"
	}
	return &target{base: u, key: key, client: &http.Client{Timeout: manageTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: unusedFor}}}, nil
}

var errNotFound = errors.New("not found")

// do makes one call. in and out are JSON, or nil for none.
func (t *target) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(t.base.String(), "/")+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+t.key)
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s %s: %w", method, path, errNotFound)
	case response.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

func (t *target) putTenant(ctx context.Context, id string) error {
	return t.do(ctx, http.MethodPut, "/v1/tenants/"+id, map[string]string{"name": "benchmark"}, nil)
}

func (t *target) deleteTenant(ctx context.Context, id string) error {
	return t.do(ctx, http.MethodDelete, "/v1/tenants/"+id, nil, nil)
}

func (t *target) putEventType(ctx context.Context, name string) error {
	return t.do(ctx, http.MethodPut, "/v1/event-types/"+name, map[string]string{"description": "made by posthorn bench"}, nil)
}

func (t *target) deleteEventType(ctx context.Context, name string) error {
	return t.do(ctx, http.MethodDelete, "/v1/event-types/"+name, nil, nil)
}

// createWebhook registers a receiver of one event type. Its first retry comes after a second, unless its limits say otherwise.
func (t *target) createWebhook(ctx context.Context, tenant, receiver, eventType string, l limits) (id string, err error) {
	in := map[string]any{"url": receiver, "event_types": []string{eventType}, "name": "benchmark"}
	if l.retry == nil {
		in["retry"] = map[string]any{"initial": "1s", "max_interval": "1m"}
	} else if len(l.retry) > 0 {
		in["retry"] = l.retry
	}
	if l.rateLimit > 0 {
		in["rate_limit"] = l.rateLimit
	}
	if len(l.channels) > 0 {
		in["channels"] = l.channels
	}
	if l.maxInFlight > 0 {
		in["max_in_flight"] = l.maxInFlight
	}
	var out struct{ ID string }
	err = t.do(ctx, http.MethodPost, "/v1/tenants/"+tenant+"/webhooks", in, &out)
	return out.ID, err
}

// pause makes Posthorn hold the pending deliveries of a webhook.
func (t *target) pause(ctx context.Context, h *hook) error {
	return t.do(ctx, http.MethodPost, "/v1/tenants/"+h.tenant+"/webhooks/"+h.id+"/pause", nil, nil)
}

// status reads a webhook's status.
func (t *target) status(ctx context.Context, h *hook) (string, error) {
	var out struct{ Status string }
	err := t.do(ctx, http.MethodGet, "/v1/tenants/"+h.tenant+"/webhooks/"+h.id, nil, &out)
	return out.Status, err
}

// resume makes Posthorn send to a webhook again, including the held deliveries.
func (t *target) resume(ctx context.Context, h *hook) error {
	return t.do(ctx, http.MethodPost, "/v1/tenants/"+h.tenant+"/webhooks/"+h.id+"/resume", nil, nil)
}

// page reads one page of the deliveries to a webhook that have a status.
func (t *target) page(ctx context.Context, h *hook, status string, limit int, after string) (n int, next string, err error) {
	query := url.Values{"webhook_id": {h.id}, "status": {status}, "limit": {fmt.Sprint(limit)}}
	if after != "" {
		query.Set("after", after)
	}
	var out struct {
		Data []struct{ ID string }
		Next *string
	}
	err = t.do(ctx, http.MethodGet, "/v1/tenants/"+h.tenant+"/deliveries?"+query.Encode(), nil, &out)
	if out.Next != nil {
		next = *out.Next
	}
	return len(out.Data), next, err
}

// lists returns the pages that administrators use most: the newest events and deliveries, a webhook's by status, and
// webhooks.
func (t *target) lists(h *hook) []string {
	tenant := "/v1/tenants/" + h.tenant
	return []string{tenant + "/events?limit=50", tenant + "/deliveries?limit=50", tenant + "/deliveries?limit=50&webhook_id=" + h.id,
		tenant + "/deliveries?limit=50&webhook_id=" + h.id + "&status=delivered", tenant + "/deliveries?limit=50&webhook_id=" + h.id + "&status=held",
		tenant + "/webhooks?limit=50"}
}

// pageSize is Posthorn's largest page.
const pageSize = 200

// count counts the deliveries to a webhook that have a status, by paging through them.
func (t *target) count(ctx context.Context, h *hook, status string) (total int64, err error) {
	for after := ""; ; {
		n, next, err := t.page(ctx, h, status, pageSize, after)
		if total += int64(n); err != nil || next == "" {
			return total, err
		}
		after = next
	}
}

// pending reports whether any delivery to the webhook is pending.
func (t *target) pending(ctx context.Context, h *hook) (bool, error) {
	n, _, err := t.page(ctx, h, "pending", 1, "")
	return n > 0, err
}
