package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// The reasons why a keyset cannot be changed. None of them quotes the keyset.
var (
	// ErrKeyset is returned for a keyset that cannot be read. It does not say what exactly is wrong, because that
	// could quote it.
	ErrKeyset = errors.New("secrets: not an AEAD keyset in the form that \"posthorn keyset new\" prints")
	// ErrNoKey is returned for the id of a key that the keyset does not have, or that is disabled in it.
	ErrNoKey = errors.New("the keyset has no such key")
	// ErrPrimary is returned for an attempt to remove the primary key.
	ErrPrimary = errors.New("it is the keyset's primary key")
)

// NewKeyset returns a fresh keyset with one AES256-GCM key: a Tink keyset in binary form, in base64, on one line.
func NewKeyset() (string, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", fmt.Errorf("make a keyset: %w", err)
	}
	return printKeyset(handle)
}

// AddKey returns the keyset with a new key at its end, and the key's id. The new key opens values, but does not seal
// yet: every process must have the new keyset before one seals with the key (PromoteKey).
func AddKey(current string) (string, KeyID, error) {
	var id KeyID
	next, err := change(current, func(m *keyset.Manager) error {
		added, err := m.Add(aead.AES256GCMKeyTemplate())
		id = KeyID(added)
		return err
	})
	return next, id, err
}

// PromoteKey returns the keyset with another of its keys as the primary one, which seals. It fails with ErrNoKey.
func PromoteKey(current string, id KeyID) (string, error) {
	if err := has(current, id); err != nil {
		return "", err
	}
	return change(current, func(m *keyset.Manager) error { return m.SetPrimary(uint32(id)) })
}

// RemoveKey returns the keyset without one of its keys. It fails with ErrNoKey or ErrPrimary.
func RemoveKey(current string, id KeyID) (string, error) {
	if err := has(current, id); err != nil {
		return "", err
	}
	box, err := OpenBox(current)
	if err != nil {
		return "", err
	}
	if box.Primary() == id {
		return "", ErrPrimary
	}
	return change(current, func(m *keyset.Manager) error { return m.Delete(uint32(id)) })
}

// has checks that a keyset has a key, and can use it.
func has(current string, id KeyID) error {
	box, err := OpenBox(current)
	if err != nil {
		return err
	}
	if !slices.Contains(box.Keys(), id) {
		return ErrNoKey
	}
	return nil
}

// change applies a change to a keyset's text.
func change(current string, do func(*keyset.Manager) error) (string, error) {
	handle, err := readKeyset(current)
	if err != nil {
		return "", err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := do(manager); err != nil {
		return "", fmt.Errorf("change the keyset: %w", err)
	}
	changed, err := manager.Handle()
	if err != nil {
		return "", fmt.Errorf("change the keyset: %w", err)
	}
	return printKeyset(changed)
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
