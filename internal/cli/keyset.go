package cli

import (
	"fmt"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/secrets"
)

// KeysetCommand is `posthorn keyset`.
type KeysetCommand struct {
	New    KeysetNewCommand    `cmd:"" help:"Print a new keyset, for POSTHORN_ENCRYPTION_KEYSET."`
	Rotate KeysetRotateCommand `cmd:"" help:"Print the keyset with a new key in front: it encrypts from now on, the old ones still decrypt."`
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

// KeysetRotateCommand is `posthorn keyset rotate`.
type KeysetRotateCommand struct {
	Keyset config.Secret `name:"encryption-keyset" env:"POSTHORN_ENCRYPTION_KEYSET" required:"" help:"The keyset in use."`
}

// Run prints the keyset with a new key.
func (c KeysetRotateCommand) Run(env Environment) error {
	keyset, err := secrets.RotateKeyset(c.Keyset.Reveal())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, keyset)
	return err
}
