package models

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Attempt is the record of one POST. It is written once; of it, what was answered can be erased.
type Attempt struct {
	Tenant          string
	ID              string
	DeliveryID      string
	WebhookID       string
	Number          int // from 1
	StartedAt       time.Time
	DurationMS      int64
	URL             string            // what was POSTed to; "" of an attempt recorded before there was this column
	StatusCode      int               // 0 = no answer
	Error           string            // empty if received
	RequestHeaders  map[string]string `gorm:"serializer:json;not null"` // secrets masked
	RequestBody     []byte            `gorm:"-"`                        // not kept: the event makes it again; nil where it is not known
	ResponseHeaders map[string]string `gorm:"serializer:json;not null"` // repeated values joined by ", "; secrets masked
	ResponseBody    []byte            // the first 16 KiB, secrets masked
	Detail          AttemptDetail     `gorm:"serializer:json"`
}

// AttemptDetail is what few attempts have.
type AttemptDetail struct {
	// Tries are the sendings of the request where there were two.
	Tries []Try `json:"tries,omitempty"`
	// Repeated holds the values of those response headers that came more than once.
	Repeated map[string][]string `json:"repeated,omitempty"`
	// BodyTruncated says that there was more of the response's body, or was to be.
	BodyTruncated bool `json:"body_truncated,omitempty"`
}

// Try is one sending of an attempt's request.
type Try struct {
	StartedAt time.Time `json:"started_at"`
	Error     string    `json:"error,omitempty"` // of the last try as of the attempt
}

// SetResponseHeaders takes over all headers of an answer.
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

// ResponseHeaderValues are the response's headers with each value by itself.
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

// detailText is how a detail is stored: "" where there is none.
func detailText(d *AttemptDetail) string {
	if len(d.Tries) == 0 && len(d.Repeated) == 0 && !d.BodyTruncated {
		return ""
	}
	return jsonText(d)
}

// Profile returns the profile of a webhook, of a deleted one too. ErrNotFound if there never was such a webhook.
func (s *Store) Profile(ctx context.Context, webhookID string) (string, error) {
	var w Webhook
	err := s.db.WithContext(ctx).Select("profile").Take(&w, "id = ?", webhookID).Error
	return w.Profile, found(err)
}

// AttemptsShown is the most attempts of one delivery that are listed. A schedule has 11; only somebody who sends a delivery
// again by hand makes more.
const AttemptsShown = 100

// Attempts lists the newest attempts of a delivery, at most AttemptsShown, oldest first.
func (s *Store) Attempts(ctx context.Context, tenant, deliveryID string) ([]Attempt, error) {
	var rows []Attempt
	err := s.db.WithContext(ctx).Where("tenant = ? AND delivery_id = ?", tenant, deliveryID).
		Order("number DESC, id DESC").Limit(AttemptsShown).Find(&rows).Error
	slices.Reverse(rows)
	return rows, err
}
