package models

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Attempt is the record of one POST. It is written once; only the receiver's answer can be erased later.
type Attempt struct {
	Tenant          string
	ID              string
	DeliveryID      string
	WebhookID       string
	Number          int  // counted from 1
	Manual          bool // requested by a retry, a replay or a recovery
	StartedAt       time.Time
	DurationMS      int64
	URL             string            // the URL of the POST; "" for attempts recorded before this column existed
	StatusCode      int               // 0 = no answer
	Error           string            // empty if received
	RequestHeaders  map[string]string `gorm:"serializer:json;not null"` // secrets masked
	RequestBody     []byte            `gorm:"-"`                        // not stored: rebuilt from the event; nil if unknown
	ResponseHeaders map[string]string `gorm:"serializer:json;not null"` // repeated values joined by ", "; secrets masked
	ResponseBody    []byte            // the first 16 KiB, secrets masked
	Detail          AttemptDetail     `gorm:"serializer:json"`
}

// AttemptDetail has facts that few attempts have.
type AttemptDetail struct {
	// Tries are the transmissions of the request if there were two.
	Tries []Try `json:"tries,omitempty"`
	// Repeated holds the values of response headers that came more than once.
	Repeated map[string][]string `json:"repeated,omitempty"`
	// BodyTruncated says that the response's body was longer, or was cut off.
	BodyTruncated bool `json:"body_truncated,omitempty"`
}

// Try is one transmission of an attempt's request.
type Try struct {
	StartedAt time.Time `json:"started_at"`
	Error     string    `json:"error,omitempty"` // for the last try, the attempt's
}

// SetResponseHeaders copies all headers of an answer.
func (a *Attempt) SetResponseHeaders(h http.Header) {
	if len(h) == 0 {
		return
	}
	a.ResponseHeaders = make(map[string]string, len(h))
	for name, values := range h {
		a.ResponseHeaders[name] = strings.Join(values, ", ")
		if len(values) > 1 {
			if a.Detail.Repeated == nil {
				a.Detail.Repeated = map[string][]string{}
			}
			a.Detail.Repeated[name] = values
		}
	}
}

// ResponseHeaderValues returns the response's headers with each value listed separately.
func (a *Attempt) ResponseHeaderValues() map[string][]string {
	values := make(map[string][]string, len(a.ResponseHeaders))
	for name, value := range a.ResponseHeaders {
		values[name] = []string{value}
		if several, ok := a.Detail.Repeated[name]; ok {
			values[name] = several
		}
	}
	return values
}

// detailText returns the stored form of a detail: "" if there is none.
func detailText(d *AttemptDetail) string {
	if len(d.Tries) == 0 && len(d.Repeated) == 0 && !d.BodyTruncated {
		return ""
	}
	return jsonText(d)
}

// Profile returns the profile of a webhook, even of a deleted one. ErrNotFound if it never existed.
func (s *Store) Profile(ctx context.Context, webhookID string) (string, error) {
	var w Webhook
	err := s.db.WithContext(ctx).Select("profile").Take(&w, "id = ?", webhookID).Error
	return w.Profile, found(err)
}

// AttemptsShown is the most attempts of one delivery that are listed. A schedule has 11; more are made only by sending
// a delivery again by hand.
const AttemptsShown = 100

// Attempts lists the newest attempts of a delivery, at most AttemptsShown, oldest first.
func (s *Store) Attempts(ctx context.Context, tenant, deliveryID string) ([]Attempt, error) {
	var rows []Attempt
	err := s.db.WithContext(ctx).Where("tenant = ? AND delivery_id = ?", tenant, deliveryID).
		Order("number DESC, id DESC").Limit(AttemptsShown).Find(&rows).Error
	slices.Reverse(rows)
	return rows, err
}
