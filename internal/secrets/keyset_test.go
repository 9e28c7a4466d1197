package secrets

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

func added(t *testing.T, current string) (string, KeyID) {
	t.Helper()
	next, id, err := AddKey(current)
	require.NoError(t, err)
	return next, id
}

func promoted(t *testing.T, current string, id KeyID) string {
	t.Helper()
	next, err := PromoteKey(current, id)
	require.NoError(t, err)
	return next
}

// At every step of a key's replacement, processes with this step's keyset and with the previous one can open each
// other's values.
func TestKeyset_EachStepFitsTheOneBefore(t *testing.T) {
	t.Parallel()
	first := newKeyset(t)
	old := openBox(t, first).Primary()
	second, id := added(t, first)
	third := promoted(t, second, id)
	fourth, err := RemoveKey(third, old)
	require.NoError(t, err)

	for _, step := range []struct {
		before, after string
		primary       KeyID
		keys, older   []KeyID
	}{
		{first, second, old, []KeyID{old, id}, []KeyID{}},
		{second, third, id, []KeyID{old, id}, []KeyID{old}},
	} {
		before, after := openBox(t, step.before), openBox(t, step.after)
		require.Equal(t, step.primary, after.Primary())
		require.Equal(t, step.keys, after.Keys())
		require.Equal(t, step.older, after.Older())
		require.Equal(t, id, after.Newest())
		for _, pair := range [][2]*Box{{before, after}, {after, before}} {
			sealed, err := pair[0].Seal([]byte("secret"), "c")
			require.NoError(t, err)
			plain, by, err := pair[1].OpenedBy(sealed, "c")
			require.NoError(t, err)
			require.Equal(t, "secret", string(plain))
			require.Equal(t, pair[0].Primary(), by)
		}
	}
	last := openBox(t, fourth)
	require.Equal(t, []KeyID{id}, last.Keys())
	sealed, err := openBox(t, first).Seal([]byte("secret"), "c")
	require.NoError(t, err)
	_, err = last.Open(sealed, "c")
	require.ErrorIs(t, err, ErrOpen)
	require.ErrorContains(t, err, "lacks key "+decimal(old), "it says which key is missing")
}

func TestKeyset_ChangesOfAKeysetThatAreRefused(t *testing.T) {
	t.Parallel()
	text := newKeyset(t)
	primary := openBox(t, text).Primary()
	_, err := RemoveKey(text, primary)
	require.ErrorIs(t, err, ErrPrimary)
	_, err = RemoveKey(text, primary+1)
	require.ErrorIs(t, err, ErrNoKey)
	_, err = PromoteKey(text, primary+1)
	require.ErrorIs(t, err, ErrNoKey)
	for _, bad := range []string{"", "hunter2", `{"key":["hunter2"`} {
		_, _, err := AddKey(bad)
		require.ErrorIs(t, err, ErrKeyset)
		_, err = PromoteKey(bad, 1)
		require.ErrorIs(t, err, ErrKeyset)
		_, err = RemoveKey(bad, 1)
		require.ErrorIs(t, err, ErrKeyset)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// A Tink key without a prefix leaves no id on its sealed values.
func TestKeyset_AKeyWithoutAPrefix(t *testing.T) {
	t.Parallel()
	template := aead.AES256GCMKeyTemplate()
	template.OutputPrefixType = tinkpb.OutputPrefixType_RAW
	handle, err := keyset.NewHandle(template)
	require.NoError(t, err)
	raw, err := printKeyset(handle)
	require.NoError(t, err)
	next, id := added(t, raw)
	box := openBox(t, promoted(t, next, id))

	sealed, err := openBox(t, raw).Seal([]byte("secret"), "c")
	require.NoError(t, err)
	plain, by, err := box.OpenedBy(sealed, "c")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	require.Equal(t, openBox(t, raw).Primary(), by)
	_, _, err = box.OpenedBy(sealed, "d")
	require.ErrorIs(t, err, ErrOpen)
}

func TestKeyset_KeyIDs(t *testing.T) {
	t.Parallel()
	first := newKeyset(t)
	next, id := added(t, first)
	old, box := openBox(t, first), openBox(t, promoted(t, next, id))
	require.Equal(t, []KeyID{old.Primary()}, old.Keys())

	for _, id := range box.Keys() {
		sealed, err := box.SealWith(id, []byte("secret"), "c")
		require.NoError(t, err)
		by, ok := SealedBy(sealed)
		require.True(t, ok)
		require.Equal(t, id, by)
		opened, err := box.Open(sealed, "c")
		require.NoError(t, err)
		require.Equal(t, "secret", string(opened))
	}
	sealed, err := box.Seal([]byte("secret"), "c")
	require.NoError(t, err)
	by, _ := SealedBy(sealed)
	require.Equal(t, box.Primary(), by, "sealing with another key has not changed the primary one")

	_, err = old.SealWith(box.Primary(), nil, "c")
	require.ErrorIs(t, err, ErrNoKey)
	for _, short := range [][]byte{nil, {1, 2, 3, 4}, []byte("of another keyset")} {
		_, ok := SealedBy(short)
		require.False(t, ok)
	}
}
