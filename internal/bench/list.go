package bench

import (
	"context"
	"net/http"
	"time"
)

// listTimes is how often each list is read.
const listTimes = 20

// list measures how long it takes to read a page of stored deliveries.
func (r *run) list(ctx context.Context) (*Percentiles, error) {
	r.progress.phase("reading lists")
	var took []uint32
	paths := r.target.lists(r.main.hooks[0])
	for range listTimes {
		for _, path := range paths {
			began := time.Now()
			if err := r.target.do(ctx, http.MethodGet, path, nil, nil); err != nil {
				return nil, err
			}
			took = append(took, micros(time.Since(began)))
		}
	}
	return percentiles(took), nil
}
