package wire

import (
	"fmt"
	"net/http"
	"time"
)

// The profiles by name, as in a webhook's `profile` and the management prefixes.
const (
	ProfileStandard       = "standard" // native: Standard Webhooks
	ProfileIM4            = "im4"
	ProfilePhrase         = "phrase"
	ProfileLanguageWeaver = "languageweaver"
	ProfileEWarehousing   = "ewarehousing"
	ProfileUP42           = "up42"
	ProfileSvix           = "svix"
)

// profile is the wire format of one system.
type profile interface {
	// body renders the event. It must depend on its arguments only.
	body(wh Webhook, ev Event) ([]byte, error)

	// sign adds the profile's headers for an attempt at the given time over exactly these body bytes.
	sign(h http.Header, wh Webhook, ev Event, at time.Time, body []byte) error

	// validSecret returns why a secret cannot be used to sign, without repeating any of it.
	validSecret(secret string) error

	// headers returns every header that sign may add, except those under a reserved prefix. Webhooks cannot set them.
	headers() []string
}

// profiles lists every profile, in the order of [Profiles].
var profiles = []struct {
	name string
	profile
}{
	{ProfileStandard, standard{}},
	{ProfileIM4, im4{}},
	{ProfilePhrase, phrase{}},
	{ProfileLanguageWeaver, languageWeaver{}},
	{ProfileEWarehousing, eWarehousing{}},
	{ProfileUP42, up42{}},
	{ProfileSvix, svix{}},
}

// Profiles returns the names of all profiles, the native one first.
func Profiles() []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.name
	}
	return names
}

// Known reports whether there is a profile of that name.
func Known(profile string) bool {
	_, err := lookup(profile)
	return err == nil
}

func lookup(name string) (profile, error) {
	for _, p := range profiles { // few names: shorter than hashing one
		if p.name == name {
			return p.profile, nil
		}
	}
	return nil, fmt.Errorf("%w %q", ErrUnknownProfile, name)
}
