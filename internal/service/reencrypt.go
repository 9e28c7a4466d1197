package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/models"
)

// Reencrypted is the progress of a reencryption.
type Reencrypted struct {
	Looked     int // webhooks checked in this pass
	Changed    int // webhooks whose headers or secrets were reencrypted, in all passes
	Unreadable int // webhooks with parts that the keyset cannot open; those stay as they are
	Busy       int // webhooks that others kept locked; they are tried again in the next pass
}

// reencryptPasses bounds the passes of a reencryption. Each one after the second finds values that other processes,
// which seal with another key, have written in the meantime.
const reencryptPasses = 10

// ErrStillSealing is returned by Reencrypt if there is always something left to reencrypt.
var ErrStillSealing = errors.New("webhooks are still being encrypted with another key, or are locked: restart the processes whose keyset has another primary key, and run this again")

// Reencrypt seals everything with the keyset's primary key that another key has sealed, page by page, while processes
// work; a page is one short transaction. It repeats its passes until one finds nothing to do. If it is interrupted,
// its work stays, and another run does the rest. report is called after each page.
//
// The keyset must be the one that all processes have. Reencrypt fails with a KeysetError, or with ErrStillSealing.
func Reencrypt(ctx context.Context, store *models.Store, box *secrets.Box, report func(Reencrypted)) (Reencrypted, error) {
	var total Reencrypted
	if err := CheckKeyset(ctx, store, box); err != nil {
		return total, err
	}
	for range reencryptPasses {
		pass := Reencrypted{Changed: total.Changed}
		err := eachSealed(ctx, store, func(page []models.Sealed) error {
			if err := pass.page(ctx, store, box, page); err != nil {
				return err
			}
			report(pass)
			return nil
		})
		before := total.Changed
		total = pass
		switch {
		case err != nil:
			return total, fmt.Errorf("hooks: reencrypt: %w", err)
		case total.Changed == before && total.Busy == 0:
			return total, nil
		}
	}
	return total, ErrStillSealing
}

// page reencrypts the rows of a page that need it.
func (p *Reencrypted) page(ctx context.Context, store *models.Store, box *secrets.Box, page []models.Sealed) error {
	var changes []models.Resealed
	for _, row := range page {
		p.Looked++
		now, changed, err := reseal(box, row)
		if errors.Is(err, secrets.ErrOpen) {
			p.Unreadable++
		} else if err != nil {
			return err
		}
		if changed {
			changes = append(changes, models.Resealed{Was: row, Now: now})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	switch err := store.Reseal(ctx, int64(box.Primary()), changes); {
	case models.IsLocked(err):
		p.Busy += len(changes)
	case err != nil:
		return err
	default:
		p.Changed += len(changes)
	}
	return nil
}

// reseal reencrypts the parts of a row that another key has sealed. If it returns secrets.ErrOpen for one part, the
// other may have changed.
func reseal(box *secrets.Box, row models.Sealed) (now models.Sealed, changed bool, err error) {
	now = row
	for _, part := range []struct {
		sealed  *[]byte
		context string
	}{{&now.Headers, headersContext(row.ID)}, {&now.Secrets, secretsContext(row.ID)}} {
		if id, ok := secrets.SealedBy(*part.sealed); len(*part.sealed) == 0 || ok && id == box.Primary() {
			continue
		}
		plain, id, openErr := box.OpenedBy(*part.sealed, part.context)
		if openErr != nil {
			err = openErr
			continue
		}
		if id == box.Primary() {
			continue
		}
		sealed, sealErr := box.Seal(plain, part.context)
		if sealErr != nil {
			return row, false, sealErr
		}
		*part.sealed, changed = sealed, true
	}
	return now, changed, err
}

// eachSealed calls look with everything that is sealed, a page at a time. It may miss values that are added in the
// meantime.
func eachSealed(ctx context.Context, store *models.Store, look func([]models.Sealed) error) error {
	for after := ""; ; {
		page, err := store.SealedAfter(ctx, after)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			if err := look(page); err != nil {
				return err
			}
			after = page[len(page)-1].ID
		}
		if len(page) < models.SealedPage {
			return nil
		}
	}
}
