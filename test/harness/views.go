package harness

import (
	"encoding/json"
	"time"
)

// The parts of the API's answers that the tests read.

// List is a page of a list.
type List[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"`
}

// Webhook is a webhook.
type Webhook struct {
	ID             string   `json:"id"`
	URL            string   `json:"url"`
	Status         string   `json:"status"`
	StatusReason   string   `json:"status_reason"`
	EventTypes     []string `json:"event_types"`
	FailedAttempts int      `json:"failed_attempts"`
	LastFailure    *struct {
		At         time.Time `json:"at"`
		StatusCode *int      `json:"status_code"`
		Error      string    `json:"error"`
	} `json:"last_failure"`
	Secret string `json:"secret"` // only of a new webhook
}

// Accepted is the answer to a publish.
type Accepted struct {
	ID         string `json:"id"`
	WorkflowID string `json:"workflow_id"`
}

// Event is an event with its deliveries.
type Event struct {
	ID         string          `json:"id"`
	Data       json.RawMessage `json:"data"`
	Deliveries []Delivery      `json:"deliveries"`
}

// Delivery is a delivery in a list.
type Delivery struct {
	ID           string    `json:"id"`
	EventID      string    `json:"event_id"`
	WebhookID    string    `json:"webhook_id"`
	Status       string    `json:"status"`
	StatusReason string    `json:"status_reason"`
	CreatedAt    time.Time `json:"created_at"`
}

// Timeline is a delivery with its attempts.
type Timeline struct {
	Delivery
	AttemptCount  int        `json:"attempt_count"`
	Attempts      []Attempt  `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	Upcoming      []struct {
		Number int       `json:"number"`
		At     time.Time `json:"at"`
	} `json:"upcoming"`
	WorkflowID string `json:"workflow_id"`
	UIURL      string `json:"ui_url"`
}

// Attempt is a POST on record.
type Attempt struct {
	ID             string            `json:"id"`
	Number         int               `json:"number"`
	StartedAt      time.Time         `json:"started_at"`
	DurationMS     int64             `json:"duration_ms"`
	StatusCode     *int              `json:"status_code"`
	Error          *string           `json:"error"`
	RequestHeaders map[string]string `json:"request_headers"`
	ResponseBody   string            `json:"response_body"`
}

// Received reports whether the POST was answered with a 2xx.
func (a Attempt) Received() bool {
	return a.Error == nil && a.StatusCode != nil && *a.StatusCode/100 == 2
}

// Recovery is a recovery's progress.
type Recovery struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Total    int    `json:"total"`
	Released int    `json:"released"`
}
