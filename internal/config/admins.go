package config

import (
	"errors"
	"fmt"
	"strings"
)

// MinAdminKey is the least length of an admin key, in characters.
const MinAdminKey = 24

// firstAdmin is the name of the key in POSTHORN_ADMIN_KEY.
const firstAdmin = "admin"

// Admin is an admin key with its actor name.
type Admin struct {
	Name string
	Key  Secret
}

// Admins reads AdminKeys. Its error names every wrong entry, and quotes no key. To replace a key without a gap, add
// the new one next to the old one, restart every process, and then remove the old one.
func (c Config) Admins() ([]Admin, error) {
	if c.AdminKeys == "" {
		return nil, nil
	}
	var admins []Admin
	var p []error
	names, keys := map[string]bool{}, map[string]bool{}
	if c.AdminKey != "" {
		names[firstAdmin], keys[c.AdminKey.Reveal()] = true, true
	}
	n := 0
	for entry := range strings.SplitSeq(c.AdminKeys.Reveal(), ",") {
		n++
		name, key, ok := strings.Cut(strings.TrimSpace(entry), "=")
		err := checkAdminKey(key)
		switch {
		case !ok || !namePattern.MatchString(name): // the text may be a key
			p = append(p, fmt.Errorf("entry %d must be name=key; a name has 1 to 64 letters, digits, dots, dashes or underscores", n))
		case err != nil:
			p = append(p, fmt.Errorf("entry %d (%s): the key %w", n, name, err))
		case key == "":
			p = append(p, fmt.Errorf("entry %d (%s) has no key", n, name))
		case names[name]:
			p = append(p, fmt.Errorf("entry %d: the name %s is already used", n, name))
		case keys[key]:
			p = append(p, fmt.Errorf("entry %d (%s) has the same key as another entry", n, name))
		}
		names[name], keys[key] = true, true
		admins = append(admins, Admin{name, Secret(key)})
	}
	if len(p) > 0 {
		return nil, errors.Join(p...)
	}
	return admins, nil
}

// checkAdminKey refuses a key that cannot be sent in a header, or can be guessed. "" passes: there is no key then.
func checkAdminKey(value string) error {
	switch {
	case value == "":
		return nil
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("must be visible ASCII characters without blanks, because it is sent in a header")
	case len(value) < MinAdminKey:
		return fmt.Errorf("must have at least %d characters: make one with \"openssl rand -hex 24\"", MinAdminKey)
	}
	return nil
}
