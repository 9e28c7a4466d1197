package secrets

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

func decimal(id KeyID) string { return strconv.FormatUint(uint64(id), 10) }

// jsonOf is a keyset in Tink's JSON form.
func jsonOf(f *testing.F, text string) string {
	f.Helper()
	handle, err := readKeyset(text)
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		f.Fatal(err)
	}
	return out.String()
}

// fixedKeyset is a keyset of three keys, with the second as primary. It is fixed, so that the fuzzer's findings can be
// kept.
const fixedKeyset = `{"primaryKeyId":2,"key":[` + fixedKey1 + `,` + fixedKey2 + `,` + fixedKey3 + `]}`

const (
	fixedKey1 = `{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"GiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}`
	fixedKey2 = `{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"GiABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":2,"outputPrefixType":"TINK"}`
	fixedKey3 = `{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"GiACAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg==","keyMaterialType":"SYMMETRIC"},"status":"DISABLED","keyId":3,"outputPrefixType":"RAW"}`
)

// Every text given as a keyset is refused, or every step works with it.
func FuzzKeyset(f *testing.F) {
	made, err := NewKeyset()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "{", "{}", "null", " \n", "§§§", "c2VjcmV0", fixedKeyset, made, made[:len(made)/2], jsonOf(f, made), "AAAA", "CAE="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		box, err := OpenBox(text)
		if err != nil {
			if err.Error() != ErrKeyset.Error() {
				t.Fatal("an error says more than that it is no keyset")
			}
			return
		}
		sealed, err := box.Seal([]byte("secret"), "c")
		if err != nil {
			t.Skip("a key of a size that does not seal")
		}
		if plain, by, err := box.OpenedBy(sealed, "c"); err != nil || string(plain) != "secret" || by != box.Primary() {
			t.Fatalf("what it sealed: %v, by %d", err, by)
		}
		next, id, err := AddKey(text)
		if err != nil {
			t.Fatal(err)
		}
		next, err = PromoteKey(next, id)
		if err != nil {
			t.Fatal(err)
		}
		rotated, err := OpenBox(next)
		if err != nil || rotated.Primary() != id || rotated.Newest() != id {
			t.Fatalf("rotated: %v", err)
		}
		if _, by, err := rotated.OpenedBy(sealed, "c"); err != nil || by != box.Primary() {
			t.Fatalf("rotated, what was sealed before: %v, by %d", err, by)
		}
		for _, old := range rotated.Older() {
			if next, err = RemoveKey(next, old); err != nil {
				t.Fatal(err)
			}
		}
		last, err := OpenBox(next)
		if err != nil || len(last.Keys()) != 1 {
			t.Fatalf("what is left: %v", err)
		}
		if _, err := last.Open(sealed, "c"); err == nil {
			t.Fatal("a removed key opens")
		}
	})
}

// A stored value can at worst fail to open.
func FuzzOpen(f *testing.F) {
	box, err := OpenBox(fixedKeyset)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := box.Seal([]byte("secret"), "c")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{nil, {1}, {1, 0, 0, 0, 2}, sealed, sealed[:20], append([]byte{1, 0, 0, 0, 9}, sealed[5:]...)} {
		f.Add(seed, "c")
	}
	f.Fuzz(func(t *testing.T, stored []byte, context string) {
		plain, err := box.Open(stored, context)
		again, by, againErr := box.OpenedBy(stored, context)
		if (err == nil) != (againErr == nil) || string(plain) != string(again) {
			t.Fatalf("%v, then %v", err, againErr)
		}
		if id, ok := SealedBy(stored); err == nil && (!ok || by != id) {
			t.Fatalf("opened by %d, and sealed by %d", by, id)
		}
	})
}
