package api

import (
	"cmp"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// nothing is the body of an operation that takes none, or an empty one.
type nothing struct{}

type actOnWebhook struct {
	OfWebhook
	Body *nothing
}

type enableWebhook struct {
	OfWebhook
	Body *struct {
		Recover bool `json:"recover,omitempty" doc:"Also recover held and failed deliveries."`
	} `nameHint:"EnableInput"`
}

// EnabledWebhook is a webhook that has been enabled.
type EnabledWebhook struct {
	Webhook
	Recovery maybe[Recovery] `json:"recovery" doc:"The recovery that was started; null if none was asked for."`
}

type disableWebhook struct {
	OfWebhook
	Body *struct {
		Reason string `json:"reason,omitempty" doc:"Shown as status_reason. At most 500 characters."`
	} `nameHint:"DisableInput"`
}

type rotateSecret struct {
	OfWebhook
	Body *struct {
		Overlap *duration `json:"overlap,omitempty" doc:"How long the old secret also signs, 0s to 720h. Default 24h."`
		Secret  string    `json:"secret,omitempty" doc:"The new secret. Default: a generated one."`
	} `nameHint:"RotateInput"`
}

// Rotated is a webhook's new secret.
type Rotated struct {
	Secret string `json:"secret" doc:"The new signing secret. It is shown only once." example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

type testWebhook struct {
	OfWebhook
	Body *struct {
		EventType string `json:"event_type,omitempty" doc:"Only this type. Default: every type that it is registered for, at most 20." example:"order.created"`
	} `nameHint:"TestInput"`
}

// TestReport is the result of a test.
type TestReport struct {
	StartedAt      timestamp `json:"started_at"`
	TestsRun       int       `json:"tests_run"`
	TestsSucceeded int       `json:"tests_succeeded"`
	TestsFailed    int       `json:"tests_failed"`
	Tests          []Test    `json:"tests"`
}

// Test is one POST of a test.
type Test struct {
	EventType string `json:"event_type" example:"order.created"`
	Received  bool   `json:"received" doc:"Whether the receiver answered 2xx in time."`
	Exchange
}

type recoverWebhook struct {
	OfWebhook
	Body *RecoveryInput
}

func (s *server) webhookActions() {
	action := func(name, summary, description string) huma.Operation {
		return huma.Operation{OperationID: name + "-webhook", Method: http.MethodPost, Path: webhookPath + "/" + name, Tags: []string{tagWebhooks},
			Summary: summary, Description: description}
	}
	handle(s, owners, action("test", "Test a webhook",
		"POSTs an example of every event type that it is registered for, now and whatever its status. These are real POSTs, signed like any other, with the header webhook-test if the profile is standard. They are not counted. The list of deliveries shows them with test=true."),
		s.testWebhook)
	rotate := action("secret/rotate", "Rotate the signing secret", "Until overlap has passed, deliveries are signed with both secrets.")
	rotate.OperationID = "rotate-webhook-secret"
	handle(s, owners, rotate, s.rotateSecret)
	handle(s, owners, action("enable", "Enable a webhook",
		"Makes it active from any status, and sets its failure count to 0. Held deliveries stay held until they are recovered. A paused webhook is resumed."),
		s.enableWebhook)
	handle(s, owners, action("disable", "Disable a webhook", "Deliveries that become due are held."), s.disableWebhook)
	handle(s, owners, action("pause", "Pause an active webhook", "Deliveries that become due are held until it is resumed."), s.pauseWebhook)
	handle(s, owners, action("resume", "Resume a paused webhook", "Releases the deliveries that the pause held."), s.resumeWebhook)
	recovery := action("recover", "Recover a webhook's deliveries", "Sends deliveries again in the background: held and failed ones, or delivered and canceled ones, and events that it has missed. Erased ones are skipped and counted. The progress is at /v1/tenants/{tenant}/recoveries/{id}.")
	recovery.DefaultStatus = http.StatusAccepted
	handleWhole(s, owners, recovery, s.recoverWebhook)
}

func (s *server) testWebhook(ctx context.Context, in *testWebhook) (*answer[TestReport], error) {
	eventType := ""
	if in.Body != nil {
		eventType = in.Body.EventType
	}
	r, err := s.Service.TestWebhook(ctx, in.Tenant, in.ID, eventType)
	if err != nil {
		return nil, err
	}
	out := TestReport{StartedAt: timestamp(r.StartedAt), TestsRun: len(r.Tests), TestsSucceeded: r.Succeeded(), Tests: make([]Test, len(r.Tests))}
	out.TestsFailed = out.TestsRun - out.TestsSucceeded
	for i, t := range r.Tests {
		out.Tests[i] = Test{EventType: t.EventType, Received: t.Received, Exchange: exchangeView(ctx, &t.Attempt)}
	}
	return answerWith(out), nil
}

func (s *server) rotateSecret(ctx context.Context, in *rotateSecret) (*answer[Rotated], error) {
	overlap, secret := service.DefaultOverlap, ""
	if in.Body != nil {
		secret = in.Body.Secret
		if in.Body.Overlap != nil {
			overlap = in.Body.Overlap.Duration
		}
	}
	secret, err := s.Service.RotateSecret(ctx, in.Tenant, in.ID, overlap, secret, caller(ctx).Name)
	if err != nil {
		return nil, err
	}
	return answerWith(Rotated{secret}), nil
}

func (s *server) enableWebhook(ctx context.Context, in *enableWebhook) (*answer[EnabledWebhook], error) {
	w, err := s.Service.Enable(ctx, in.Tenant, in.ID, caller(ctx).Name)
	if err != nil {
		return nil, err
	}
	v, err := s.webhookView(w)
	if err != nil || in.Body == nil || !in.Body.Recover {
		return answerWith(EnabledWebhook{Webhook: v}), err
	}
	r, err := s.Service.Recover(ctx, in.Tenant, in.ID, service.RecoveryRequest{})
	if err != nil {
		return nil, err
	}
	return answerWith(EnabledWebhook{v, maybe[Recovery]{new(s.recoveryView(r))}}), nil
}

func (s *server) disableWebhook(ctx context.Context, in *disableWebhook) (*answer[Webhook], error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return s.showWebhook(s.Service.Disable(ctx, in.Tenant, in.ID, reason, caller(ctx).Name))
}

func (s *server) pauseWebhook(ctx context.Context, in *actOnWebhook) (*answer[Webhook], error) {
	return s.showWebhook(s.Service.Pause(ctx, in.Tenant, in.ID, caller(ctx).Name))
}

func (s *server) resumeWebhook(ctx context.Context, in *actOnWebhook) (*answer[Webhook], error) {
	return s.showWebhook(s.Service.Resume(ctx, in.Tenant, in.ID, caller(ctx).Name))
}

func (s *server) recoverWebhook(ctx context.Context, in *recoverWebhook) (*answer[Recovery], error) {
	b := cmp.Or(in.Body, &RecoveryInput{})
	request := service.RecoveryRequest{Since: timeOf(b.Since), Until: timeOf(b.Until), EventTypes: b.EventTypes,
		Channel: b.Channel, Tag: b.Tag, StatusClass: b.StatusClass, Missed: b.Missed, Rate: b.Rate, Wrong: wrongAlready(ctx)}
	for _, status := range b.Statuses {
		request.Statuses = append(request.Statuses, models.DeliveryStatus(status))
	}
	r, err := s.Service.Recover(ctx, in.Tenant, in.ID, request)
	if err != nil {
		return nil, err
	}
	return answerWith(s.recoveryView(r)), nil
}
