package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// ErasureInput selects the events to erase: those that match all criteria. At least one criterion is required.
type ErasureInput struct {
	Until      *instant `json:"until,omitempty" doc:"Only events accepted before this time. Default: now. As the only criterion it also needs all."`
	EventTypes []string `json:"event_types,omitempty" doc:"Only these types. Wildcards such as order.* work." example:"order.*"`
	Attribute  string   `json:"attribute,omitempty" doc:"Only events with this attribute, as name:value." example:"customer:4711"`
	All        bool     `json:"all,omitempty" doc:"Must be true if until is the only criterion: every event before it is erased."`
	DryRun     bool     `json:"dry_run,omitempty" doc:"Erases nothing, and answers 200 with the number of events that match."`
}

// ErasureBegun is an erasure that has begun.
type ErasureBegun struct {
	ID string `json:"id" example:"era_0198c0de-0000-7000-8000-000000000008"`
}

// ErasureCount is the number of events that an erasure would erase.
type ErasureCount struct {
	Count    int64 `json:"count"`
	Complete bool  `json:"complete" doc:"false: only the first 100,000 events were examined."`
}

// Erasure is the receipt of an erasure.
type Erasure struct {
	ID         string               `json:"id" example:"era_0198c0de-0000-7000-8000-000000000008"`
	Status     models.ErasureStatus `json:"status" enum:"running,completed"`
	Erased     int64                `json:"erased" doc:"Events whose data it has erased. Events erased earlier are not counted."`
	Until      timestamp            `json:"until"`
	EventTypes []string             `json:"event_types" doc:"Empty = all." example:"order.*"`
	Attribute  *string              `json:"attribute" doc:"null = any." example:"customer:4711"`
	CreatedAt  timestamp            `json:"created_at"`
	FinishedAt *timestamp           `json:"finished_at" nullable:"true"`
}

type eraseEvents struct {
	OfTenant
	Body ErasureInput
}

// erasureAnswer is an ErasureBegun or an ErasureCount.
type erasureAnswer struct {
	Status int
	Body   any
}

type ofErasure struct {
	OfTenant
	ID string `path:"id" doc:"The erasure's id."`
}

func (s *server) erasures() {
	const path = "/v1/tenants/{tenant}/erasures"
	handleWhole(s, owners, huma.Operation{
		OperationID: "erase-events", Method: http.MethodPost, Path: path, Tags: []string{tagEvents}, Summary: "Erase the data of many events",
		Description: "Runs in the background. The events' records stay, without data and attributes. Unfinished deliveries are canceled, and the stored answers of receivers are removed.",
		Responses:   map[string]*huma.Response{"202": s.response("Begun", typeOf[ErasureBegun]()), "200": s.response("Counted, with dry_run", typeOf[ErasureCount]())},
	}, s.eraseEvents)
	handle(s, readers, huma.Operation{
		OperationID: "get-erasure", Method: http.MethodGet, Path: path + "/{id}", Tags: []string{tagEvents}, Summary: "Read the receipt of an erasure",
	}, s.getErasure)
}

func (s *server) eraseEvents(ctx context.Context, in *eraseEvents) (*erasureAnswer, error) {
	b := in.Body
	r := service.ErasureRequest{Until: timeOf(b.Until), EventTypes: b.EventTypes, Attribute: b.Attribute, All: b.All, Wrong: wrongAlready(ctx)}
	if b.DryRun {
		n, complete, err := s.Service.CountErasure(ctx, in.Tenant, r)
		if err != nil {
			return nil, err
		}
		return &erasureAnswer{http.StatusOK, ErasureCount{n, complete}}, nil
	}
	x, err := s.Service.Erase(ctx, in.Tenant, r)
	if err != nil {
		return nil, err
	}
	return &erasureAnswer{http.StatusAccepted, ErasureBegun{x.ID}}, nil
}

func (s *server) getErasure(ctx context.Context, in *ofErasure) (*answer[Erasure], error) {
	x, err := s.Service.Erasure(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWith(Erasure{ID: x.ID, Status: x.Status, Erased: x.Erased, Until: timestamp(x.Until), EventTypes: orEmptyList(x.EventTypes),
		Attribute: orNull(x.Attribute), CreatedAt: timestamp(x.CreatedAt), FinishedAt: at(x.FinishedAt)}), nil
}
