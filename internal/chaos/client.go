//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// client calls the APIs in turn.
type client struct {
	key  string
	apis []string
	next atomic.Uint64
	http *http.Client
}

// callTimeout is when a call is given up. Its outcome is then unknown.
const callTimeout = 10 * time.Second

func newClient(key string, apis []string) *client {
	return &client{key: key, apis: apis, http: &http.Client{Timeout: callTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 5 * time.Second}}}
}

// pick returns one of the APIs.
func (c *client) pick() string { return c.apis[c.next.Add(1)%uint64(len(c.apis))] }

// outcome is what the caller knows about the result of a call.
type outcome int

const (
	// unknown: it may have been carried out.
	unknown outcome = iota
	// refused: it never reached a process.
	refused
	// answered: the status is the answer.
	answered
)

const mostAnswer = 16 << 20

// call makes one call to one API. in and out are JSON, nil for none.
func (c *client) call(ctx context.Context, api, method, path, idempotencyKey string, in, out any) (outcome, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return refused, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, api+path, body)
	if err != nil {
		return refused, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return refused, err
		}
		return unknown, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	switch {
	case response.StatusCode >= http.StatusInternalServerError:
		return unknown, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	case err != nil:
		return unknown, err
	case response.StatusCode >= http.StatusMultipleChoices:
		return answered, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	case out == nil:
		return answered, nil
	}
	return answered, json.Unmarshal(text, out)
}

// get reads something from one of the APIs.
func (c *client) get(ctx context.Context, path string, out any) error {
	_, err := c.call(ctx, c.pick(), http.MethodGet, path, "", nil, out)
	return err
}

// delivery is a delivery in a list.
type delivery struct {
	ID           string    `json:"id"`
	EventID      string    `json:"event_id"`
	WebhookID    string    `json:"webhook_id"`
	Status       string    `json:"status"`
	StatusReason string    `json:"status_reason"`
	Attempts     int       `json:"attempts"`
	CreatedAt    time.Time `json:"created_at"`
	// NextAttemptAt is zero unless the delivery is pending.
	NextAttemptAt time.Time `json:"next_attempt_at"`
}

// attempt is a POST on record.
type attempt struct {
	Number         int               `json:"number"`
	StartedAt      time.Time         `json:"started_at"`
	DurationMS     int64             `json:"duration_ms"`
	StatusCode     int               `json:"status_code"`
	Error          string            `json:"error"`
	RequestHeaders map[string]string `json:"request_headers"`
}

func (a *attempt) received() bool { return a.StatusCode/100 == 2 && a.Error == "" }

// pageSize is the largest page of the API.
const pageSize = 200

// deliveries calls each with every delivery of a tenant that a query selects.
func (c *client) deliveries(ctx context.Context, tenant string, query url.Values, each func(delivery)) error {
	query.Set("limit", fmt.Sprint(pageSize))
	for {
		var page struct {
			Data []delivery `json:"data"`
			Next string     `json:"next"`
		}
		if err := c.get(ctx, "/v1/tenants/"+tenant+"/deliveries?"+query.Encode(), &page); err != nil {
			return err
		}
		for _, d := range page.Data {
			each(d)
		}
		if page.Next == "" {
			return nil
		}
		query.Set("after", page.Next)
	}
}

// pending returns one delivery of a tenant that was made before a time and is not finished.
func (c *client) pending(ctx context.Context, tenant string, before time.Time) (found []delivery, err error) {
	var page struct {
		Data []delivery `json:"data"`
	}
	err = c.get(ctx, "/v1/tenants/"+tenant+"/deliveries?"+url.Values{"status": {"pending"}, "limit": {"1"},
		"until": {before.UTC().Format(time.RFC3339Nano)}}.Encode(), &page)
	return page.Data, err
}

// attempts reads a delivery's attempts.
func (c *client) attempts(ctx context.Context, tenant, id string) ([]attempt, error) {
	var timeline struct {
		Attempts []attempt `json:"attempts"`
	}
	err := c.get(ctx, "/v1/tenants/"+tenant+"/deliveries/"+id, &timeline)
	return timeline.Attempts, err
}
