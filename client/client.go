package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Timeout limits a call, including its answer's body, unless WithHTTPClient sets another client.
const Timeout = 30 * time.Second

// maxProblem is the largest part of a problem that is read, in bytes.
const maxProblem = 1 << 20

// New returns a client of the Posthorn at a URL, with an API key. Use the calls that end in WithResponse: they return
// an [*Error] for every answer that is not a success.
func New(url, key string, options ...ClientOption) (*ClientWithResponses, error) {
	authenticate := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}
	c, err := NewClient(url, append([]ClientOption{WithHTTPClient(&http.Client{Timeout: Timeout}), WithRequestEditorFn(authenticate)}, options...)...)
	if err != nil {
		return nil, err
	}
	c.Client = refusals{c.Client}
	return &ClientWithResponses{c}, nil
}

// Error is an answer that is not a success: a problem (RFC 9457), or the answer of another server than Posthorn.
type Error struct {
	Status int    // the HTTP status code
	Title  string // the status in words
	Detail string // the mistake, for people; "" if the answer is not a problem
	Errors []FieldError
	// RetryAfter is how long the server asks to wait; 0 = the answer has no such time.
	RetryAfter time.Duration
	// RequestID names the request in the server's log and audit log.
	RequestID string
}

// FieldError is the mistake in one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error implements error: one sentence that names every wrong field.
func (e *Error) Error() string {
	detail := e.Detail
	if detail == "" {
		detail = "something that is no Posthorn answers there"
	}
	parts := []string{fmt.Sprintf("%d: %s", e.Status, detail)}
	for _, f := range e.Errors {
		parts = append(parts, f.Field+": "+f.Message)
	}
	return strings.Join(parts, "; ")
}

// refusals turns answers that are not a success into errors.
type refusals struct{ HttpRequestDoer }

// Do implements HttpRequestDoer.
func (d refusals) Do(r *http.Request) (*http.Response, error) {
	response, err := d.HttpRequestDoer.Do(r)
	if err != nil {
		return nil, err
	}
	isJSON := strings.Contains(response.Header.Get("Content-Type"), "json")
	if response.StatusCode < http.StatusMultipleChoices && (isJSON || response.StatusCode == http.StatusNoContent) {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	e := &Error{Status: response.StatusCode, Title: http.StatusText(response.StatusCode), RequestID: response.Header.Get("X-Request-Id")}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") {
		return nil, e
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	if err != nil {
		return nil, err
	}
	var problem struct {
		Title  string       `json:"title"`
		Detail string       `json:"detail"`
		Errors []FieldError `json:"errors"`
	}
	if json.NewDecoder(bytes.NewReader(text)).Decode(&problem) == nil {
		e.Title, e.Detail, e.Errors = problem.Title, problem.Detail, problem.Errors
	}
	return nil, e
}
