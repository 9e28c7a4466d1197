package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/posthorn/posthorn/client"
	"github.com/posthorn/posthorn/internal/config"
)

// Remote says how a command reaches a running Posthorn, and how it prints the answers.
type Remote struct {
	URL    string        `name:"url" env:"POSTHORN_URL" default:"http://127.0.0.1:8080" help:"The Posthorn to call. Default ${default}." group:"Posthorn"`
	Key    config.Secret `env:"POSTHORN_KEY" placeholder:"KEY" help:"API key. Required." group:"Posthorn"`
	Output string        `short:"o" enum:"table,json" default:"table" help:"table, or json as the API answers. Default ${default}." group:"Posthorn"`
}

// OfTenant is a Remote for the things of one tenant.
type OfTenant struct {
	Remote
	Tenant string `env:"POSTHORN_TENANT" default:"demo" help:"The tenant's id. Default ${default}, which dev creates." group:"Posthorn"`
}

// The exit codes of the commands that call a running Posthorn. Every other failure is 1, and a wrong command line is
// 80.
const (
	exitNotAllowed = 3 // 401, 403
	exitNotFound   = 4 // 404
	exitConflict   = 5 // 409
	exitInvalid    = 6 // 400, 413, 415, 422
	exitLater      = 7 // 429, 503, or no answer: it may work later
	exitSignal     = 130
)

// remoteError is a failed call in one sentence, with its exit code.
type remoteError struct {
	error

	code int
}

// ExitCode implements kong.ExitCoder.
func (e *remoteError) ExitCode() int { return e.code }

// Unwrap is for errors.As.
func (e *remoteError) Unwrap() error { return e.error }

// exitCodes are the exit codes by status.
var exitCodes = map[int]int{
	http.StatusUnauthorized: exitNotAllowed, http.StatusForbidden: exitNotAllowed, http.StatusNotFound: exitNotFound,
	http.StatusConflict: exitConflict, http.StatusBadRequest: exitInvalid, http.StatusRequestEntityTooLarge: exitInvalid,
	http.StatusUnsupportedMediaType: exitInvalid, http.StatusUnprocessableEntity: exitInvalid,
	http.StatusTooManyRequests: exitLater, http.StatusServiceUnavailable: exitLater,
}

// api makes the client.
func (r *Remote) api(options ...client.ClientOption) (*client.ClientWithResponses, error) {
	switch {
	case r.Key == "":
		return nil, errors.New("--key (POSTHORN_KEY) must be set: the API key to call with")
	case !isHTTP(r.URL):
		return nil, errors.New("--url (POSTHORN_URL): must be an http or https URL")
	}
	return client.New(strings.TrimRight(r.URL, "/"), r.Key.Reveal(), options...)
}

// explain turns the error of a call into a sentence and an exit code.
func (r *Remote) explain(err error) error {
	refused, ok := errors.AsType[*client.Error](err)
	if ok {
		code, known := exitCodes[refused.Status]
		if !known {
			code = 1
		}
		return &remoteError{err, code}
	}
	if errors.Is(err, context.Canceled) { // not wrapped: for a serving process this is a good end, for a call it is not
		return &remoteError{errors.New("interrupted: it is unknown whether the call took effect"), exitSignal}
	}
	if _, ok := errors.AsType[*remoteError](err); ok {
		return err
	}
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return &remoteError{fmt.Errorf("no Posthorn answers at %s: start one, or give its URL with --url (POSTHORN_URL): %w", r.URL, wrong.Err), exitLater}
	}
	return err
}

// call makes a call and returns the unchanged answer.
func call[R interface{ GetBody() []byte }](r *Remote, do func(*client.ClientWithResponses) (R, error)) ([]byte, error) {
	api, err := r.api()
	if err != nil {
		return nil, err
	}
	answer, err := do(api)
	if err != nil {
		return nil, r.explain(err)
	}
	return answer.GetBody(), nil
}

// show prints an answer: unchanged, or as draw draws it.
func show[T any](r *Remote, env Environment, answer []byte, draw func(*printer, T)) error {
	if r.Output == "json" {
		_, err := fmt.Fprintf(env.Out, "%s\n", bytes.TrimSpace(answer))
		return err
	}
	var v T
	if err := json.Unmarshal(answer, &v); err != nil {
		return fmt.Errorf("this posthorn does not understand the answer of %s: %w", r.URL, err)
	}
	p := &printer{}
	draw(p, v)
	_, err := env.Out.Write(p.Bytes())
	return err
}

// Page is the part of a list that a command asks for.
type Page struct {
	Limit int    `default:"50" help:"The most entries to list. Default ${default}." group:"List"`
	After string `placeholder:"CURSOR" help:"Continue after the cursor that an earlier list printed as next." group:"List"`
}

// maxPage is the most entries of one page of the API.
const maxPage = 200

// listed is a list of the API with unchanged entries.
type listed struct {
	Data     []json.RawMessage `json:"data"`
	Next     *string           `json:"next"`
	Complete *bool             `json:"complete,omitempty"` // of a search
}

// pages reads as many pages as the limit asks for, and returns them as one.
func pages[R interface{ GetBody() []byte }](r *Remote, p Page, read func(api *client.ClientWithResponses, limit *int64, after *string) (R, error)) ([]byte, error) {
	if p.Limit < 1 {
		return nil, errors.New("--limit: must be at least 1")
	}
	all := listed{Data: []json.RawMessage{}, Next: given(p.After)}
	for len(all.Data) < p.Limit {
		limit := int64(min(p.Limit-len(all.Data), maxPage))
		answer, err := call(r, func(api *client.ClientWithResponses) (R, error) { return read(api, &limit, all.Next) })
		if err != nil {
			return nil, err
		}
		var page listed
		if err := json.Unmarshal(answer, &page); err != nil {
			return nil, fmt.Errorf("the answer of %s is not a list: %w", r.URL, err)
		}
		all.Data, all.Next, all.Complete = append(all.Data, page.Data...), page.Next, page.Complete
		if page.Next == nil {
			break
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(all)
	return out.Bytes(), err
}

// listOf is a list of T, from which a table is made.
type listOf[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"`
}

// rows draws a list as a table: a line for each entry, and how to continue.
func rows[T any](header string, row func(T) []any) func(*printer, listOf[T]) {
	return func(p *printer, l listOf[T]) {
		if len(l.Data) == 0 {
			p.line("nothing")
			return
		}
		p.header(strings.Split(header, ",")...)
		for _, entry := range l.Data {
			p.row(row(entry)...)
		}
		p.flush()
		if l.Next != nil {
			p.line("more: --after " + *l.Next)
		}
	}
}

// given returns a flag's value, nil if it is not set.
func given[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// Moment is a time on the command line: RFC 3339, or how long ago.
type Moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		m.Time = time.Now().Add(-ago)
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return errors.New(`must be a time such as 2026-01-02T15:04:05Z, or how long ago, such as 90m`)
	}
	m.Time = t
	return nil
}

// when returns the given time; nil if there is none.
func (m *Moment) when() *time.Time {
	if m == nil {
		return nil
	}
	return &m.Time
}

// Window is the span of time of a list.
type Window struct {
	Since *Moment `placeholder:"TIME" help:"Only entries made at or after this time: RFC 3339, or how long ago (90m)." group:"List"`
	Until *Moment `placeholder:"TIME" help:"Only entries made before this time." group:"List"`
}

// JSONText is JSON on the command line: the text itself, @FILE, or - for standard input.
type JSONText string

// read returns the JSON; nil if none was given. It fails for text that is not JSON.
func (j JSONText) read(flag string) (json.RawMessage, error) {
	text := []byte(j)
	var err error
	switch file, isFile := strings.CutPrefix(string(j), "@"); {
	case j == "":
		return nil, nil
	case j == "-":
		text, err = io.ReadAll(os.Stdin)
	case isFile:
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("%s: is not JSON", flag)
	}
	return bytes.TrimSpace(text), nil
}
