package service

import (
	"regexp"
	"time"

	"github.com/posthorn/posthorn/models"
)

// The bounds of an event's labels: what it is found and matched by.
const (
	maxEventChannels   = 5
	maxWebhookChannels = 10
	maxTags            = 5
	maxTag             = 128
	maxExternalID      = 256
)

// channelName is the form of a channel's name.
var channelName = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,128}$`)

// checkLabels checks the external id, the channels and the tags of an event.
func checkLabels(p *problems, prefix string, in *EventInput) {
	checkLength(p, prefix+"external_id", in.ExternalID, maxExternalID)
	checkChannels(p, prefix+"channels", in.Channels, maxEventChannels)
	if len(in.Tags) > maxTags {
		p.addf(prefix+"tags", "must be at most %d", maxTags)
		return
	}
	for i, tag := range in.Tags {
		if tag == "" {
			p.addf(index(prefix+"tags", i), "must not be empty")
		}
		checkLength(p, index(prefix+"tags", i), tag, maxTag)
	}
}

func checkChannels(p *problems, field string, channels []string, most int) {
	if len(channels) > most {
		p.addf(field, "must be at most %d", most)
		return
	}
	for i, c := range channels {
		if !channelName.MatchString(c) {
			p.addf(index(field, i), "must be 1 to 128 letters, digits, dots, dashes, underscores, colons or slashes")
		}
	}
}

// once is each for a list that is mostly empty.
func once(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return each(names)
}

// EventSearch is a search for events.
type EventSearch struct {
	models.EventFilter

	ID             string // the event with this id
	IdempotencyKey string // the key of the request that published them
	Text           string // in their data; the filter then has a window of at most a day
}

// The bounds of a search for text.
const (
	maxText       = 200
	maxTextWindow = 24 * time.Hour
)

// check checks a search for text.
func (e *EventSearch) check() error {
	if e.Text == "" {
		return nil
	}
	var p problems
	checkLength(&p, "q", e.Text, maxText)
	if e.IdempotencyKey != "" {
		p.addf("q", "cannot be combined with idempotency_key")
	}
	if e.ID != "" {
		p.addf("q", "cannot be combined with id")
	}
	if e.Since.IsZero() {
		p.addf("since", "is required with q")
	}
	if e.Until.IsZero() {
		p.addf("until", "is required with q")
	} else if !e.Since.IsZero() && e.Until.Sub(e.Since) > maxTextWindow {
		p.addf("until", "must be at most %s after since, with q", maxTextWindow)
	}
	return p.err()
}
