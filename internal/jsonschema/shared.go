package jsonschema

import (
	"context"
	"crypto/sha256"
	"runtime"
	"sync"
	"weak"

	"golang.org/x/sync/singleflight"
)

// shared holds the schemas of this process by the hash of their texts, for as long as they are in use.
var shared struct {
	compiling singleflight.Group
	mu        sync.Mutex
	byText    map[[sha256.Size]byte]weak.Pointer[Schema]
}

// Shared returns the compiled schema of a text. A process compiles a text once for all callers, including concurrent
// ones. Its errors are those of [Compile].
func Shared(schema string) (*Schema, error) {
	hash := sha256.Sum256([]byte(schema))
	if s := sharedBy(hash); s != nil {
		return s, nil
	}
	compiled, err, _ := shared.compiling.Do(string(hash[:]), func() (any, error) {
		if s := sharedBy(hash); s != nil {
			return s, nil
		}
		s, err := Compile(context.Background(), []byte(schema)) // several may wait for it, so no single caller may cancel it
		if err != nil {
			return nil, err
		}
		share(hash, s)
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	return compiled.(*Schema), nil
}

func sharedBy(hash [sha256.Size]byte) *Schema {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	return shared.byText[hash].Value()
}

func share(hash [sha256.Size]byte, s *Schema) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.byText == nil {
		shared.byText = map[[sha256.Size]byte]weak.Pointer[Schema]{}
	}
	shared.byText[hash] = weak.Make(s)
	runtime.AddCleanup(s, forget, hash)
}

// forget removes the entry of a schema that is no longer in use, unless another one has replaced it.
func forget(hash [sha256.Size]byte) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.byText[hash].Value() == nil {
		delete(shared.byText, hash)
	}
}
