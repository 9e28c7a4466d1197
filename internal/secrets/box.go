// Package secrets keeps secrets secret: encryption at rest, hashing of API keys, making new keys and masking them for
// display.
//
// It must not import anything of this module. It never logs, and its errors hold no key material.
package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrKeyset is returned for a keyset that cannot be read. What exactly is wrong is not said, as that could quote it.
var ErrKeyset = errors.New("secrets: not an AEAD keyset in the form that \"posthorn keyset new\" prints")

// ErrOpen is returned for bytes that no key of the keyset sealed in the context given.
var ErrOpen = errors.New("secrets: cannot be opened: sealed by another keyset, in another context, or altered")

// NewKeyset returns a fresh keyset with one AES256-GCM key: a Tink keyset in binary form, in base64, on one line.
func NewKeyset() (string, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", fmt.Errorf("make a keyset: %w", err)
	}
	return printKeyset(handle)
}

// RotateKeyset returns the given keyset with a new key added that seals from now on. The older keys stay and open what
// they sealed. Every process must know the new keyset before one seals with it, or the others cannot open the result:
// roll it out to all, then restart all.
func RotateKeyset(current string) (string, error) {
	handle, err := readKeyset(current)
	if err != nil {
		return "", err
	}
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", fmt.Errorf("add a key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return "", fmt.Errorf("make the new key primary: %w", err)
	}
	rotated, err := manager.Handle()
	if err != nil {
		return "", fmt.Errorf("rotate the keyset: %w", err)
	}
	return printKeyset(rotated)
}

// Box seals secrets for the database and opens them again. It is safe for concurrent use.
type Box struct {
	aead tink.AEAD
	keys *keyset.Handle
}

// OpenBox returns the Box of a keyset from NewKeyset or RotateKeyset. Tink's own JSON form, as tinkey writes it, is
// accepted too, plain or in base64. It fails with ErrKeyset.
func OpenBox(keysetText string) (*Box, error) {
	handle, err := readKeyset(keysetText)
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, ErrKeyset // a Tink keyset, but for signing or some other purpose
	}
	return &Box{aead: primitive, keys: handle}, nil
}

// Seal encrypts plain. The context, for example "webhook/wh_…", is not stored: the same one must be given to Open, so that
// a sealed secret moved to another row opens nowhere.
func (b *Box) Seal(plain []byte, context string) ([]byte, error) {
	sealed, err := b.aead.Encrypt(plain, []byte(context))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", context, err)
	}
	return sealed, nil
}

// Open decrypts what Seal made in the same context, with whichever key of the keyset sealed it. It fails with ErrOpen.
func (b *Box) Open(sealed []byte, context string) ([]byte, error) {
	plain, err := b.aead.Decrypt(sealed, []byte(context))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", context, ErrOpen)
	}
	return plain, nil
}

func printKeyset(handle *keyset.Handle) (string, error) {
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&out)); err != nil {
		return "", fmt.Errorf("print the keyset: %w", err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

func readKeyset(text string) (*keyset.Handle, error) {
	text = strings.TrimSpace(text)
	raw := []byte(text)
	if !strings.HasPrefix(text, "{") {
		var err error
		if raw, err = base64.StdEncoding.DecodeString(text); err != nil || len(raw) == 0 {
			return nil, ErrKeyset
		}
	}
	var reader keyset.Reader = keyset.NewBinaryReader(bytes.NewReader(raw))
	if raw[0] == '{' { // which no binary keyset starts with
		reader = keyset.NewJSONReader(bytes.NewReader(raw))
	}
	handle, err := insecurecleartextkeyset.Read(reader)
	if err != nil {
		return nil, ErrKeyset
	}
	return handle, nil
}
