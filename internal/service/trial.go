package service

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
)

// TestReport is the result of testing a webhook.
type TestReport struct {
	StartedAt time.Time
	Tests     []TestResult
}

// Succeeded returns the number of tests that were received.
func (r TestReport) Succeeded() int {
	n := 0
	for _, t := range r.Tests {
		if t.Received {
			n++
		}
	}
	return n
}

// TestResult is one real POST of an example event.
type TestResult struct {
	EventType string
	// Received reports whether the receiver has answered with success. It is false if Posthorn could not send; the
	// attempt's error says so.
	Received bool
	Attempt  models.Attempt

	eventID string // "" = it was not sent
}

// maxTests bounds the POSTs of one test call.
const maxTests = 20

// TestWebhook POSTs an example of each event type that the webhook is registered for, or of the named one, now. These
// are real POSTs, signed like any other. They are recorded separately from deliveries, and not counted. The webhook's
// status does not matter, but its limits do. TooMany if the webhook or its tenant already has as many running tests as
// allowed.
func (s *Service) TestWebhook(ctx context.Context, tenant, id, eventType string) (TestReport, error) {
	w, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return TestReport{}, err
	}
	types, err := s.Store.EventTypes(ctx, tenant)
	if err != nil {
		return TestReport{}, err
	}
	var chosen []models.EventType
	for _, t := range types {
		if w.Wants(t.Name) && (eventType == "" || t.Name == eventType) && len(chosen) < maxTests {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 && eventType != "" {
		return TestReport{}, invalid(FieldError{"event_type", "the webhook is not registered for this event type"})
	}
	opened, err := s.unseal(&w)
	if err != nil {
		return TestReport{}, err
	}
	end, err := s.trials.begin(tenant, w.ID)
	if err != nil {
		return TestReport{}, err
	}
	defer end()
	stand(ctx)
	r := s.receiver(&w, opened)
	report := TestReport{StartedAt: s.Now().UTC(), Tests: make([]TestResult, len(chosen))}
	var wg sync.WaitGroup
	for i, t := range chosen {
		wg.Go(func() {
			defer panics.Catch("a test")
			report.Tests[i].EventType = t.Name
			report.Tests[i] = s.test(ctx, r, t.Name, []byte(t.Example))
		})
	}
	wg.Wait()
	s.keepTests(ctx, &w, report.Tests)
	return report, nil
}

// keptTestBody is how many bytes of a test's body are stored.
const keptTestBody = 68 << 10

// keepTests records the tests that were sent. The caller has their results in any case, so if they cannot be recorded
// it is only logged.
func (s *Service) keepTests(ctx context.Context, w *models.Webhook, results []TestResult) {
	var tests []models.TestPost
	for i := range results {
		r := &results[i]
		if r.eventID == "" {
			continue
		}
		t := models.TestPost{WebhookID: w.ID, EventID: r.eventID, EventType: r.EventType, Status: models.Failed, Attempt: r.Attempt}
		if r.Received {
			t.Status = models.Delivered
		}
		t.Attempt.RequestBody = t.Attempt.RequestBody[:min(len(t.Attempt.RequestBody), keptTestBody)]
		tests = append(tests, t)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepFor) // also if the caller is gone
	defer cancel()
	if err := s.Store.CreateTests(ctx, w.Tenant, tests); err != nil && !errors.Is(err, models.ErrNotFound) {
		s.Log.WarnContext(ctx, "tests not recorded", "tenant", w.Tenant, "webhook", w.ID, "tests", len(tests), "error", err)
	}
}

// keepFor bounds the recording of tests.
const keepFor = 5 * time.Second

// TestURL POSTs an example of one event type, as a webhook of this profile would get it, to a URL that need not be
// registered. secret "" = unsigned, or signed with a generated secret, as the profile requires. TooMany as for
// TestWebhook.
func (s *Service) TestURL(ctx context.Context, tenant, profile, url, secret, eventType string) (TestResult, error) {
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant}
	opened := &sealed{}
	change := WebhookChange{URL: &url, Profile: profile}
	if secret != "" {
		change.Secret = &secret
	}
	w.Profile = profile
	if err := s.make(ctx, &w, opened, change); err != nil {
		return TestResult{}, err
	}
	return s.testOnce(ctx, s.receiver(&w, opened), eventType, s.example(ctx, tenant, profile, eventType))
}

// testOnce is a test call with one POST.
func (s *Service) testOnce(ctx context.Context, r *Receiver, eventType string, example []byte) (TestResult, error) {
	end, err := s.trials.begin(r.Webhook.Tenant, r.Webhook.ID)
	if err != nil {
		return TestResult{}, err
	}
	defer end()
	stand(ctx)
	return s.test(ctx, r, eventType, example), nil
}

// example returns the example of an event type: the tenant's own, or else that of the system's catalogue. A type that
// only test calls send is always the system's, even if the tenant has one with the same name.
func (s *Service) example(ctx context.Context, tenant, system, eventType string) []byte {
	example := []byte(`{}`)
	listed, _ := catalog.Load(system)
	for _, t := range listed {
		if t.Name == eventType {
			example = t.Example
			if t.TestOnly {
				return example
			}
		}
	}
	if t, err := s.EventType(ctx, tenant, eventType); err == nil && t.Example != "" {
		return []byte(t.Example)
	}
	return example
}

func (s *Service) test(ctx context.Context, r *Receiver, eventType string, example []byte) TestResult {
	if len(example) == 0 {
		example = json.RawMessage(`{}`)
	}
	e := &models.Event{Tenant: r.Webhook.Tenant, ID: models.NewID(models.PrefixEvent), Type: eventType, Data: example,
		CreatedAt: s.Now().UTC().Truncate(time.Millisecond)}
	release, err := s.admitTest(ctx, r)
	if err != nil {
		result := s.notSent(ctx, r, err)
		return TestResult{EventType: eventType, Attempt: s.attempt(r, &result)}
	}
	defer release()
	attempt, result, body := s.post(ctx, r, e, true)
	attempt.Number, attempt.RequestBody = 1, body
	if result.Outcome == sender.Local && !result.Aborted {
		s.Metrics.LocalFailures.WithLabelValues(string(result.Reason)).Inc()
	}
	return TestResult{EventType: eventType, Received: result.Outcome == sender.Received, Attempt: attempt, eventID: e.ID}
}
