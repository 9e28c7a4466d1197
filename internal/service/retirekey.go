package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/models"
)

// KeyInUseError says that a key cannot be removed yet.
type KeyInUseError struct {
	Key      secrets.KeyID
	Webhooks int // webhooks with headers or secrets that only this key opens
}

// Error implements error.
func (e *KeyInUseError) Error() string {
	return fmt.Sprintf("%s cannot be removed: %d of the webhooks have headers or secrets that only this key opens. Run \"posthorn keyset reencrypt\" first, "+
		"once every process has the keyset with the new primary key", keyNames([]secrets.KeyID{e.Key}), e.Webhooks)
}

// RetireKey ensures that nothing needs a key of the keyset any more, now or later: processes that still seal with it
// are refused. It fails with a KeyInUseError, and changes nothing, if a webhook needs the key. It may be run again,
// also after an interruption. The caller then removes the key from the keyset.
func RetireKey(ctx context.Context, store *models.Store, box *secrets.Box, id secrets.KeyID) error {
	if err := CheckKeyset(ctx, store, box); err != nil {
		return err
	}
	if id == box.Primary() {
		return secrets.ErrPrimary
	}
	if err := needed(ctx, store, box, id); err != nil { // before any process is refused
		return errors.Join(err, store.SealAgain(ctx, int64(id))) // an earlier run may have been interrupted after it stopped sealing
	}
	sealed, err := box.SealWith(id, []byte(canaryText), canaryContext(id))
	if err != nil {
		return err
	}
	if err := store.StopSealing(ctx, models.KeysetCanary{KeyID: int64(id), Sealed: sealed}); err != nil {
		return fmt.Errorf("hooks: stop sealing with key %d: %w", id, err)
	}
	if err := needed(ctx, store, box, id); err != nil { // for values sealed between the count and the stop
		return errors.Join(err, store.SealAgain(context.WithoutCancel(ctx), int64(id)))
	}
	if err := store.ForgetKey(ctx, int64(id)); err != nil {
		return fmt.Errorf("hooks: forget key %d: %w", id, err)
	}
	return nil
}

// needed counts the webhooks that need a key; nil if there are none.
func needed(ctx context.Context, store *models.Store, box *secrets.Box, id secrets.KeyID) error {
	n := 0
	err := eachSealed(ctx, store, func(page []models.Sealed) error {
		for _, row := range page {
			if opens(box, id, row.Headers, headersContext(row.ID)) || opens(box, id, row.Secrets, secretsContext(row.ID)) {
				n++
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("hooks: look for what key %d has sealed: %w", id, err)
	case n > 0:
		return &KeyInUseError{Key: id, Webhooks: n}
	}
	return nil
}

// opens reports whether a key is needed to open a value. A value that no key opens needs none.
func opens(box *secrets.Box, id secrets.KeyID, sealed []byte, context string) bool {
	if len(sealed) == 0 {
		return false
	}
	if by, ok := secrets.SealedBy(sealed); ok && by != id && by == box.Primary() {
		return false // most values: no need to open them
	}
	_, by, err := box.OpenedBy(sealed, context)
	return err == nil && by == id
}
