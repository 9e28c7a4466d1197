package service

import (
	"context"

	"github.com/posthorn/posthorn/models"
)

// read reads something for a caller: on the read connections, in its tenant's turn, and within the deadline of reads.
// what is its name in errors.
func read[T any](ctx context.Context, s *Service, what string, fn func(context.Context, *models.Store) (T, error)) (T, error) {
	var out T
	release, err := await(ctx, s.seats.reads, seated(ctx))
	if err != nil {
		return out, err
	}
	defer release()
	err = s.Store.Read(ctx, func(ctx context.Context, store *models.Store) (err error) {
		out, err = fn(ctx, store)
		return err
	})
	return out, known(err, what)
}

// readPage is read for a page of a list: its rows, and the cursor of the next page.
func readPage[T any](ctx context.Context, s *Service, what string, fn func(context.Context, *models.Store) ([]T, string, error)) (rows []T, next string, err error) {
	rows, err = read(ctx, s, what, func(ctx context.Context, store *models.Store) (rows []T, err error) {
		rows, next, err = fn(ctx, store)
		return rows, err
	})
	return rows, next, err
}
