package systems

import (
	"errors"
	"io"
	"net/http"

	"github.com/posthorn/posthorn/internal/bodyroom"
	"github.com/posthorn/posthorn/internal/service"
)

// work carries the request out once its body has arrived and its tenant has a turn.
func (q *Request) work(o *Operation, h Handler) error {
	if err := q.receive(); err != nil {
		return err
	}
	if !o.Publishes {
		ctx, leave, err := q.API.Service.Enter(q.Ctx(), q.Tenant)
		if err != nil {
			return err
		}
		defer leave()
		q.Request = q.Request.WithContext(ctx)
	}
	done, err := q.API.Service.Expand(q.Ctx(), q.Tenant, len(q.arrived))
	if err != nil {
		return err
	}
	err = q.read(o)
	if o.Publishes { // checking the events uses the same room
		done()
	} else {
		defer done()
	}
	if err != nil {
		return err
	}
	if len(o.Query)+len(o.Fields) == 0 { // the handler has nothing left to check
		if err := q.Err(); err != nil {
			return err
		}
	}
	return h(q)
}

// receive reads the request's body into memory. An admin key has no share of the room for bodies: it serves all
// tenants.
func (q *Request) receive() error {
	if q.Request.Body == nil || q.Request.Body == http.NoBody {
		return nil
	}
	key := q.Who.KeyID
	if q.Who.Tenant == "" {
		key = ""
	}
	bodyroom.Charge(q.Request, q.Tenant, key)
	body, err := io.ReadAll(io.LimitReader(q.Request.Body, MaxBody+1)) // a body with the extra byte is refused later
	var refused *service.Error
	switch {
	case errors.As(err, &refused):
		return err
	case err != nil:
		return &Refusal{Status: http.StatusBadRequest, Message: "the body could not be read"}
	}
	q.arrived = body
	return nil
}
