package app

import (
	"fmt"

	"github.com/posthorn/posthorn/internal/callers"
	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/service"
)

// gateOf returns the Gate that checks requests. A `dev` answers only to its own names, because browsers on its machine
// visit other sites too.
func gateOf(c config.Config, dev bool) (*callers.Gate, error) {
	o := callers.Options{Proxies: c.TrustedProxies, Origins: c.CORSOrigins, PublicURL: c.PublicURL}
	if dev {
		o.Host = callers.LocalHosts(c.Addr, c.PublicURL)
	}
	return callers.New(o)
}

// adminKeys returns the named admin keys.
func adminKeys(c config.Config) ([]service.AdminKey, error) {
	admins, err := c.Admins()
	if err != nil {
		return nil, fmt.Errorf("POSTHORN_ADMIN_KEYS: %w", err)
	}
	keys := make([]service.AdminKey, len(admins))
	for i, a := range admins {
		keys[i] = service.AdminKey{Name: a.Name, Key: a.Key.Reveal()}
	}
	return keys, nil
}
