package service

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/models"
)

// canaryText is the content of every canary.
const canaryText = "posthorn keyset canary"

// KeysetError says that the encryption keyset cannot open what is encrypted in this database.
type KeysetError struct {
	Missing []secrets.KeyID // keys used with the database that the keyset lacks
	Altered []secrets.KeyID // keys of the keyset that do not open what keys with their ids have sealed
	Unnamed bool            // something without a key id cannot be opened
	Removed bool            // the primary key has been removed, or is being removed
	Has     []secrets.KeyID // the keyset's keys
	Primary secrets.KeyID   // the keyset's primary key
}

// Error implements error. Key ids are not secret.
func (e *KeysetError) Error() string {
	var wrong []string
	if len(e.Missing) > 0 {
		wrong = append(wrong, "it lacks "+keyNames(e.Missing)+", which this database uses")
	}
	if len(e.Altered) > 0 {
		wrong = append(wrong, "its "+keyNames(e.Altered)+" cannot open what a key with that id has sealed")
	}
	if e.Unnamed {
		wrong = append(wrong, "a key without an id prefix in its ciphertexts is missing")
	}
	remedy := "with all of these keys"
	if e.Removed {
		wrong = append(wrong, "its primary "+keyNames([]secrets.KeyID{e.Primary})+" has been removed")
		remedy = "that \"posthorn keyset remove\" printed"
	}
	return fmt.Sprintf("the encryption keyset does not fit the database: %s (the keyset has %s). Set POSTHORN_ENCRYPTION_KEYSET "+
		"to the keyset %s; for \"dev\" it is the file keyset in the data directory", strings.Join(wrong, "; "), keyNames(e.Has), remedy)
}

func keyNames(ids []secrets.KeyID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = strconv.FormatUint(uint64(id), 10)
	}
	if len(names) == 1 {
		return "key " + names[0]
	}
	return "keys " + strings.Join(names, ", ")
}

// CheckKeyset opens the canary of every key that has sealed something in this database. It fails with a KeysetError if
// one does not open, or if the keyset's primary key has been removed. The primary key gets a canary if it has none.
func CheckKeyset(ctx context.Context, store *models.Store, box *secrets.Box) error {
	known, err := store.KeysetCanaries(ctx)
	if err != nil {
		return fmt.Errorf("hooks: read the keyset's canaries: %w", err)
	}
	c := &keysetCheck{box: box}
	if err := c.open(known); err != nil || c.covered {
		return err
	}
	return store.Tx(ctx, func(tx *models.Store) error {
		if err := tx.LockKeysetCanaries(ctx); err != nil {
			return fmt.Errorf("hooks: lock the keyset's canaries: %w", err)
		}
		known, err := tx.KeysetCanaries(ctx)
		if err != nil {
			return fmt.Errorf("hooks: read the keyset's canaries: %w", err)
		}
		c := &keysetCheck{box: box}
		if err := c.open(known); err != nil || c.covered {
			return err
		}
		add := []secrets.KeyID{box.Primary()}
		if len(known) == len(c.lost) {
			if add, err = c.first(ctx, tx); err != nil {
				return err
			}
		}
		rows, err := c.make(add)
		if err != nil {
			return err
		}
		return tx.AddKeysetCanaries(ctx, rows)
	})
}

// keysetCheck compares a keyset with a database.
type keysetCheck struct {
	box     *secrets.Box
	lost    map[secrets.KeyID]bool // keys that the operator has given up
	covered bool                   // the primary key needs no canary: it has one, or the operator has given it up
}

// open opens the canaries.
func (c *keysetCheck) open(known []models.KeysetCanary) error {
	var f findings
	c.lost = map[secrets.KeyID]bool{}
	for _, row := range known {
		id := secrets.KeyID(row.KeyID) //nolint:gosec // it was made from one
		c.covered = c.covered || id == c.box.Primary()
		f.removed = f.removed || id == c.box.Primary() && row.RemovedAt != nil
		if len(row.Sealed) == 0 {
			c.lost[id] = true
			continue
		}
		plain, err := c.box.Open(row.Sealed, canaryContext(id))
		if err != nil || !bytes.Equal(plain, []byte(canaryText)) {
			f.add(id, c.box)
		}
	}
	return f.err(c.box)
}

// first checks a keyset against a database without canaries, which an earlier build may have filled. It returns the
// keys that need one: all of them if something is already sealed, because any of them may have sealed it.
func (c *keysetCheck) first(ctx context.Context, tx *models.Store) ([]secrets.KeyID, error) {
	samples, err := tx.SampleSecrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("hooks: read sealed secrets: %w", err)
	}
	opens := map[secrets.KeyID]bool{} // a key fits if it opens anything that it sealed: a single row may be damaged
	unnamed, unnamedOpens := false, false
	for _, sample := range samples {
		id, named := secrets.SealedBy(sample.Secrets)
		if named && (opens[id] || c.lost[id]) {
			continue
		}
		_, err := c.box.Open(sample.Secrets, secretsContext(sample.WebhookID))
		if named {
			opens[id] = err == nil
		} else {
			unnamed, unnamedOpens = true, unnamedOpens || err == nil
		}
	}
	f := findings{unnamed: unnamed && !unnamedOpens}
	for _, id := range slices.Sorted(maps.Keys(opens)) {
		if !opens[id] {
			f.add(id, c.box)
		}
	}
	if err := f.err(c.box); err != nil {
		return nil, err
	}
	if len(samples) == 0 {
		return []secrets.KeyID{c.box.Primary()}, nil
	}
	return slices.DeleteFunc(c.box.Keys(), func(id secrets.KeyID) bool { return c.lost[id] }), nil
}

func (c *keysetCheck) make(ids []secrets.KeyID) ([]models.KeysetCanary, error) {
	rows := make([]models.KeysetCanary, len(ids))
	for i, id := range ids {
		sealed, err := c.box.SealWith(id, []byte(canaryText), canaryContext(id))
		if err != nil {
			return nil, err
		}
		rows[i] = models.KeysetCanary{KeyID: int64(id), Sealed: sealed}
	}
	return rows, nil
}

func canaryContext(id secrets.KeyID) string {
	return "keyset-canary/" + strconv.FormatUint(uint64(id), 10)
}

// findings collects what a keyset cannot open.
type findings struct {
	missing, altered []secrets.KeyID
	unnamed, removed bool
}

func (f *findings) add(id secrets.KeyID, box *secrets.Box) {
	if slices.Contains(box.Keys(), id) {
		f.altered = append(f.altered, id)
	} else {
		f.missing = append(f.missing, id)
	}
}

func (f *findings) err(box *secrets.Box) error {
	if len(f.missing) == 0 && len(f.altered) == 0 && !f.unnamed && !f.removed {
		return nil
	}
	return &KeysetError{Missing: f.missing, Altered: f.altered, Unnamed: f.unnamed, Removed: f.removed, Has: box.Keys(), Primary: box.Primary()}
}
