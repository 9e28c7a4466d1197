// Package secrets protects secrets: encryption at rest, hashing of API keys, generating keys and masking them for
// display.
//
// It must not import anything of this module. It never logs, and its errors contain no key material.
package secrets

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrOpen is returned for bytes that no key of the keyset sealed in the given context.
var ErrOpen = errors.New("secrets: cannot be opened: sealed by another keyset, in another context, or altered")

// Box seals secrets for the database and opens them again. It is safe for concurrent use.
type Box struct {
	aead tink.AEAD
	keys *keyset.Handle
}

// OpenBox returns the Box of a keyset from NewKeyset, AddKey, PromoteKey or RemoveKey. It also accepts Tink's own JSON
// form, as tinkey writes it, plain or in base64. It fails with ErrKeyset.
func OpenBox(keysetText string) (*Box, error) {
	handle, err := readKeyset(keysetText)
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, ErrKeyset // a Tink keyset for signing or some other purpose
	}
	return &Box{aead: primitive, keys: handle}, nil
}

// Seal encrypts plain. The context, for example "webhook/wh_…", is not stored: Open needs the same one, so a sealed
// secret cannot be opened in another row.
func (b *Box) Seal(plain []byte, context string) ([]byte, error) {
	sealed, err := b.aead.Encrypt(plain, []byte(context))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", context, err)
	}
	return sealed, nil
}

// Open decrypts the result of Seal in the same context, with whichever key of the keyset sealed it. It fails with
// ErrOpen; the error names the key if the keyset lacks it.
func (b *Box) Open(sealed []byte, context string) ([]byte, error) {
	plain, err := b.aead.Decrypt(sealed, []byte(context))
	if err == nil {
		return plain, nil
	}
	if id, ok := SealedBy(sealed); ok && !slices.Contains(b.Keys(), id) {
		return nil, fmt.Errorf("open %s: the keyset lacks key %d: %w", context, id, ErrOpen)
	}
	return nil, fmt.Errorf("open %s: %w", context, ErrOpen)
}

// OpenedBy is Open, and also returns the id of the key that sealed it.
func (b *Box) OpenedBy(sealed []byte, context string) (plain []byte, id KeyID, err error) {
	if plain, err = b.Open(sealed, context); err != nil {
		return nil, 0, err
	}
	if id, ok := SealedBy(sealed); ok && slices.Contains(b.Keys(), id) {
		return plain, id, nil
	}
	for _, id := range b.Keys() { // for a key without an id prefix
		one, err := b.only(id)
		if err != nil {
			return nil, 0, err
		}
		if _, err := one.Open(sealed, context); err == nil {
			return plain, id, nil
		}
	}
	return nil, 0, fmt.Errorf("open %s: %w", context, ErrOpen)
}
