package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// KeysetCommand is `posthorn keyset`. After each step comes a rolling restart with the printed keyset.
type KeysetCommand struct {
	New       KeysetNewCommand       `cmd:"" help:"Print a new keyset, for POSTHORN_ENCRYPTION_KEYSET."`
	Add       KeysetAddCommand       `cmd:"" help:"Step 1 of replacing a key: print the keyset with a new key, which decrypts and does not encrypt yet."`
	Rotate    KeysetRotateCommand    `cmd:"" help:"Step 2: print the keyset with the added key as the one that encrypts."`
	Reencrypt KeysetReencryptCommand `cmd:"" help:"Step 3: encrypt everything in the database with that key, while processes run. Can be stopped and run again."`
	Remove    KeysetRemoveCommand    `cmd:"" help:"Step 4: print the keyset without the old keys. Refused while anything in the database needs them."`
}

// inUse is the keyset that a step changes.
type inUse struct {
	Keyset config.Secret `name:"encryption-keyset" env:"POSTHORN_ENCRYPTION_KEYSET" required:"" help:"The keyset in use."`
}

func (k inUse) open() (*secrets.Box, error) {
	box, err := secrets.OpenBox(k.Keyset.Reveal())
	if err != nil {
		return nil, fmt.Errorf("POSTHORN_ENCRYPTION_KEYSET: %w", err)
	}
	return box, nil
}

// inDatabase is the database of a step.
type inDatabase struct {
	DatabaseURL config.Secret `name:"database-url" env:"POSTHORN_DATABASE_URL" required:"" help:"Database: postgres://… or sqlite:<path>."`
}

func (d inDatabase) open(ctx context.Context) (*models.Store, error) {
	store, err := models.Open(ctx, d.DatabaseURL.Reveal(), models.Options{})
	if err != nil {
		return nil, err
	}
	if err := store.Migrated(ctx); err != nil {
		_ = store.Close()
		return nil, err
	}
	return store, nil
}

// KeysetNewCommand is `posthorn keyset new`.
type KeysetNewCommand struct{}

// Run prints a keyset.
func (KeysetNewCommand) Run(env Environment) error {
	keyset, err := secrets.NewKeyset()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, keyset)
	return err
}

// KeysetAddCommand is `posthorn keyset add`.
type KeysetAddCommand struct{ inUse }

// Run prints the keyset with a new key.
func (c *KeysetAddCommand) Run(env Environment) error {
	if _, err := c.open(); err != nil {
		return err
	}
	next, id, err := secrets.AddKey(c.Keyset.Reveal())
	if err != nil {
		return err
	}
	return printKeyset(env, next, "Key %d was added. Restart every process with this keyset; then run \"posthorn keyset rotate\" with it.", id)
}

// KeysetRotateCommand is `posthorn keyset rotate`.
type KeysetRotateCommand struct {
	inUse
	Key *uint32 `name:"key" placeholder:"ID" help:"The key that will encrypt. Default: the one added last."`
}

// Run prints the keyset with another primary key.
func (c *KeysetRotateCommand) Run(env Environment) error {
	box, err := c.open()
	if err != nil {
		return err
	}
	id := box.Newest()
	if c.Key != nil {
		id = secrets.KeyID(*c.Key)
	}
	if id == box.Primary() {
		return fmt.Errorf("key %d already encrypts. Run \"posthorn keyset add\" first, and restart every process with the keyset that it prints", id)
	}
	next, err := secrets.PromoteKey(c.Keyset.Reveal(), id)
	if err != nil {
		return keyError("--key", id, box, err)
	}
	return printKeyset(env, next, "Key %d encrypts from now on. Restart every process with this keyset; then run \"posthorn keyset reencrypt\" with it.", id)
}

// KeysetReencryptCommand is `posthorn keyset reencrypt`.
type KeysetReencryptCommand struct {
	inUse
	inDatabase
}

// Run encrypts everything again, and says how far it has come.
func (c *KeysetReencryptCommand) Run(ctx context.Context, env Environment) error {
	box, err := c.inUse.open()
	if err != nil {
		return err
	}
	store, err := c.inDatabase.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	const every = 10_000
	said := 0
	done, err := service.Reencrypt(ctx, store, box, func(r service.Reencrypted) {
		if r.Looked < said { // another pass
			said = 0
		}
		if r.Looked-said >= every {
			said = r.Looked
			env.tellf("webhooks checked: %d, reencrypted: %d", r.Looked, r.Changed)
		}
	})
	if done.Unreadable > 0 {
		env.tellf("webhooks with headers or secrets that this keyset cannot open: %d. They stay as they are; their status_reason says what to do.", done.Unreadable)
	}
	if err != nil {
		return fmt.Errorf("webhooks reencrypted: %d, then: %w", done.Changed, err)
	}
	_, err = fmt.Fprintf(env.Out, "webhooks reencrypted: %d; everything is encrypted with key %d\n", done.Changed, box.Primary())
	return err
}

// KeysetRemoveCommand is `posthorn keyset remove`.
type KeysetRemoveCommand struct {
	inUse
	inDatabase
	Key *uint32 `name:"key" placeholder:"ID" help:"The key to remove. Default: all keys older than the one that encrypts."`
}

// Run prints the keyset without keys that nothing needs.
func (c *KeysetRemoveCommand) Run(ctx context.Context, env Environment) error {
	box, err := c.inUse.open()
	if err != nil {
		return err
	}
	ids := box.Older()
	if c.Key != nil {
		ids = []secrets.KeyID{secrets.KeyID(*c.Key)}
	}
	if len(ids) == 0 {
		return fmt.Errorf("the keyset has no key older than key %d, which encrypts. --key names another one", box.Primary())
	}
	next := c.Keyset.Reveal()
	for _, id := range ids { // before anything is written to the database
		if next, err = secrets.RemoveKey(next, id); err != nil {
			return keyError("--key", id, box, err)
		}
	}
	store, err := c.inDatabase.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	var refused []error
	for _, id := range ids {
		if err := service.RetireKey(ctx, store, box, id); err != nil {
			refused = append(refused, err)
		}
	}
	if err := errors.Join(refused...); err != nil {
		return err
	}
	return printKeyset(env, next, "Nothing needs the removed keys any more. Restart every process with this keyset.")
}

// keyError names the key that does not suit a step, and the existing keys.
func keyError(flag string, id secrets.KeyID, box *secrets.Box, err error) error {
	return fmt.Errorf("%s %d: %w (it has %d; %d is the primary one)", flag, id, err, box.Keys(), box.Primary())
}

// printKeyset prints a keyset to Out, and the next step to Err.
func printKeyset(env Environment, keyset, next string, args ...any) error {
	if _, err := fmt.Fprintln(env.Out, keyset); err != nil {
		return err
	}
	env.tellf(next, args...)
	return nil
}

// tellf prints a message that is not a result.
func (e Environment) tellf(format string, args ...any) {
	if e.Err != nil {
		_, _ = io.WriteString(e.Err, fmt.Sprintf(format, args...)+"\n")
	}
}
