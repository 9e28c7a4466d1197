package secrets

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// KeyID identifies a key of a keyset. It is not secret: every value that the key seals begins with it.
type KeyID uint32

// Primary returns the id of the key that seals.
func (b *Box) Primary() KeyID {
	entry, err := b.keys.Primary()
	if err != nil {
		panic(err) // Tink never makes a handle without a primary key
	}
	return KeyID(entry.KeyID())
}

// Keys returns the ids of the keys that can open values, in the order of the keyset.
func (b *Box) Keys() []KeyID {
	var ids []KeyID
	for i := range b.keys.Len() {
		if entry, err := b.keys.Entry(i); err == nil && entry.KeyStatus() == keyset.Enabled {
			ids = append(ids, KeyID(entry.KeyID()))
		}
	}
	return ids
}

// Newest returns the id of the key at the end of the keyset, where AddKey puts it.
func (b *Box) Newest() KeyID {
	ids := b.Keys()
	return ids[len(ids)-1] // the primary key is always among them
}

// Older returns the ids of the keys before the primary one in the keyset: those that it has replaced.
func (b *Box) Older() []KeyID {
	ids := b.Keys()
	return ids[:slices.Index(ids, b.Primary())]
}

// SealWith is Seal with the given key of the keyset instead of its primary one.
func (b *Box) SealWith(id KeyID, plain []byte, context string) ([]byte, error) {
	one, err := b.only(id)
	if err != nil {
		return nil, err
	}
	return one.Seal(plain, context)
}

// only returns a Box with one of the keys.
func (b *Box) only(id KeyID) (*Box, error) {
	if !slices.Contains(b.Keys(), id) {
		return nil, fmt.Errorf("key %d: %w", id, ErrNoKey)
	}
	manager := keyset.NewManagerFromHandle(b.keys) // works on a copy
	if err := manager.SetPrimary(uint32(id)); err != nil {
		return nil, fmt.Errorf("key %d: %w", id, err)
	}
	for i := range b.keys.Len() {
		entry, err := b.keys.Entry(i)
		if err != nil || KeyID(entry.KeyID()) == id {
			continue
		}
		if err := manager.Delete(entry.KeyID()); err != nil {
			return nil, fmt.Errorf("key %d: %w", id, err)
		}
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("key %d: %w", id, err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("key %d: %w", id, err)
	}
	return &Box{aead: primitive, keys: handle}, nil
}

// The prefix of a sealed value: a byte for the kind of prefix, then the key's id. Keysets made elsewhere may have keys
// without such a prefix ("RAW").
const (
	tinkPrefix    = 0x01
	crunchyPrefix = 0x00
	prefixLength  = 5
)

// SealedBy returns the id of the key that sealed a value. ok is false if the value does not say so.
func SealedBy(sealed []byte) (id KeyID, ok bool) {
	if len(sealed) < prefixLength || (sealed[0] != tinkPrefix && sealed[0] != crunchyPrefix) {
		return 0, false
	}
	return KeyID(binary.BigEndian.Uint32(sealed[1:prefixLength])), true
}
