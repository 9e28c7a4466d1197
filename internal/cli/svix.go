package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/posthorn/posthorn/client"
)

// svixServer reads a Svix server's API.
type svixServer struct {
	base, token string
	http        client.HttpRequestDoer
}

// Bounds: the bytes that are read of an answer, and the entries of a page of a list.
const (
	maxSvixAnswer = 64 << 20
	svixPage      = 100
)

type svixEventType struct {
	Name         string                     `json:"name"`
	Description  string                     `json:"description"`
	Schemas      map[string]json.RawMessage `json:"schemas"` // by version
	Deprecated   bool                       `json:"deprecated"`
	Archived     bool                       `json:"archived"`
	FeatureFlag  string                     `json:"featureFlag"`
	FeatureFlags []string                   `json:"featureFlags"`
	GroupName    string                     `json:"groupName"`
}

type svixApplication struct {
	ID           string            `json:"id"`
	UID          string            `json:"uid"`
	Name         string            `json:"name"`
	Metadata     map[string]string `json:"metadata"`
	RateLimit    *float64          `json:"rateLimit"`
	ThrottleRate *float64          `json:"throttleRate"` // its name since 2.0
}

type svixEndpoint struct {
	ID           string            `json:"id"`
	UID          string            `json:"uid"`
	URL          string            `json:"url"`
	Description  string            `json:"description"`
	Disabled     bool              `json:"disabled"`
	FilterTypes  []string          `json:"filterTypes"`
	EventTypes   []string          `json:"eventTypes"` // its name since 2.0
	Channels     []string          `json:"channels"`
	RateLimit    *float64          `json:"rateLimit"`
	ThrottleRate *float64          `json:"throttleRate"`
	Metadata     map[string]string `json:"metadata"`
}

type svixHeaders struct {
	Headers   map[string]string `json:"headers"`
	Sensitive []string          `json:"sensitive"` // names of those whose values are not shown
}

// svixError is an answer of a Svix server that reports a failure.
type svixError struct {
	status int
	detail string
}

// Error implements error.
func (e *svixError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("Svix answers %d: %s", e.status, e.detail), ": ")
}

// ExitCode implements kong.ExitCoder.
func (e *svixError) ExitCode() int {
	if code, ok := exitCodes[e.status]; ok {
		return code
	}
	return 1
}

// get reads the answer of a path below /api/v1.
func (s *svixServer) get(ctx context.Context, path string, query url.Values, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(s.base, "/")+"/api/v1"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Accept", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		if wrong, ok := errors.AsType[*url.Error](err); ok && ctx.Err() == nil {
			return &remoteError{fmt.Errorf("no Svix server answers at %s: give its URL with --from: %w", s.base, wrong.Err), exitLater}
		}
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxSvixAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var problem struct {
			Detail json.RawMessage `json:"detail"` // a sentence, or a list of what is wrong
		}
		_ = json.Unmarshal(text, &problem)
		return &svixError{response.StatusCode, harmless(strings.Trim(string(problem.Detail), `"`))}
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the answer of %s to %s is not one of Svix's: %w", s.base, path, err)
	}
	return nil
}

// eachOf calls do with each entry of a list, page by page.
func eachOf[T any](ctx context.Context, s *svixServer, path string, query url.Values, do func(T) error) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(svixPage))
	for {
		var page struct {
			Data     []T    `json:"data"`
			Iterator string `json:"iterator"`
			Done     bool   `json:"done"`
		}
		if err := s.get(ctx, path, query, &page); err != nil {
			return err
		}
		for _, entry := range page.Data {
			if err := do(entry); err != nil {
				return err
			}
		}
		if page.Done {
			return nil
		}
		if page.Iterator == "" || page.Iterator == query.Get("iterator") {
			return fmt.Errorf("the list %s of %s does not end", path, s.base)
		}
		query.Set("iterator", page.Iterator)
	}
}

// patient repeats a call that is answered with 429. It also repeats a reading call when the server says that it is
// overloaded or away. It waits as long as the answer says.
type patient struct {
	client.HttpRequestDoer

	wait func(context.Context, time.Duration) error
}

const (
	patientTries = 8
	longestPause = time.Minute
)

// Do implements client.HttpRequestDoer.
func (p patient) Do(r *http.Request) (*http.Response, error) {
	for try := 1; ; try++ {
		response, err := p.HttpRequestDoer.Do(r)
		if err != nil || try == patientTries || !worthRepeating(r, response.StatusCode) {
			return response, err
		}
		pause := time.Second << (try - 1)
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 {
			pause = time.Duration(min(seconds, int(longestPause/time.Second))) * time.Second
		}
		_ = response.Body.Close()
		if err := p.wait(r.Context(), min(pause, longestPause)); err != nil {
			return nil, err
		}
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func worthRepeating(r *http.Request, status int) bool {
	switch status {
	case http.StatusTooManyRequests:
		return true
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return r.Method == http.MethodGet
	}
	return false
}
