package models

import (
	"context"
	"time"
)

// textBounds are the bounds after which a text search stops.
type textBounds struct {
	events int
	time   time.Duration
	now    func() time.Time
}

// The bounds of a text search.
const (
	textEvents = 100_000
	textFor    = 2 * time.Second
)

// The number of events that one statement of a search examines. Their data is up to a megabyte each: a search starts
// with few, and takes more while statements are quick.
const (
	textLeast = 50
	textMost  = 500
	textQuick = 50 * time.Millisecond
)

// EventsWithText lists those of the filter's events whose data contains a text, byte for byte as it was posted. It
// examines all events of the filter's window, or all with its first label, and stops after textEvents or textFor. Then
// complete is false, and the next page continues from there. The filter may not have IDs.
func (s *Store) EventsWithText(ctx context.Context, tenant string, f EventFilter, text string, p Page) (rows []Event, next string, complete bool, err error) {
	return s.eventsWithText(ctx, tenant, f, text, p, textBounds{textEvents, textFor, s.Clock})
}

func (s *Store) eventsWithText(ctx context.Context, tenant string, f EventFilter, text string, p Page, most textBounds) (rows []Event, next string, complete bool, err error) {
	cursors := append(f.cursors(tenant), "text", text)
	at, err := cursors.parseMark(p)
	if err != nil {
		return nil, "", false, err
	}
	began, size := most.now(), textLeast
	for looked := 0; looked < most.events && most.now().Sub(began) < most.time; {
		asked := most.now()
		size = min(size, most.events-looked)
		seen, err := s.textPage(ctx, tenant, f, text, p, at, size)
		if err != nil {
			return nil, "", false, err
		}
		hits := f
		hits.IDs = []string{}
		for _, e := range seen {
			if e.Hit {
				hits.IDs = append(hits.IDs, e.ID)
			}
		}
		found, err := s.eventsAmong(ctx, tenant, hits, p, nil)
		if err != nil {
			return nil, "", false, err
		}
		rows = append(rows, found...)
		if len(rows) > p.Limit || len(seen) < size {
			rows, next = cut(rows, p.Limit, func(e Event) string { return cursors.nextEvent(&e) })
			return rows, next, true, nil
		}
		last := seen[len(seen)-1]
		at, looked = &Mark{last.CreatedAt, last.ID}, looked+len(seen)
		size = resized(size, 2, most.now().Sub(asked), textLeast, textMost)
	}
	if at == nil {
		return rows, "", false, nil
	}
	return rows, cursors.behindMark(at), false, nil
}

// resized returns how many rows a search's next statement reads: more by a factor if the last one was quick, fewer by it if not.
func resized(size, factor int, took time.Duration, least, most int) int {
	if took > textQuick {
		size /= factor
	} else {
		size *= factor
	}
	return min(max(size, least), most)
}

// textSeen is an event that a search has examined.
type textSeen struct {
	ID        string
	CreatedAt time.Time
	Hit       bool
}

// textPage examines the next events of the window. The rest of the filter is applied here: the database would scan any
// number of events to find the next one.
func (s *Store) textPage(ctx context.Context, tenant string, f EventFilter, text string, p Page, after *Mark, size int) ([]textSeen, error) {
	hit := "COALESCE(instr(events.data, CAST(? AS blob)) > 0, false)"
	if s.postgres {
		hit = "COALESCE(position(convert_to(?, 'UTF8') IN events.data) > 0, false)"
	}
	var seen []textSeen
	err := s.eventsLike(ctx, tenant, f.indexed(), p, after).Limit(size).
		Select("events.id, events.created_at, "+hit+" AS hit", text).Find(&seen).Error
	return seen, err
}

// indexed returns the part of the filter for which the database finds events without scanning others.
func (f *EventFilter) indexed() EventFilter {
	part := EventFilter{Since: f.Since, Until: f.Until}
	switch {
	case f.ExternalID != "":
		part.ExternalID = f.ExternalID
	case f.Attribute != nil:
		part.Attribute = f.Attribute
	case f.Tag != "":
		part.Tag = f.Tag
	default:
		part.Channel = f.Channel
	}
	return part
}
