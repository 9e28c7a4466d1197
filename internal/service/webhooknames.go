package service

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/models"
)

// The bounds of metadata.
const (
	maxMetadata      = 50
	maxMetadataName  = 100
	maxMetadataValue = 1000
)

// uidForm is the form of a webhook's or a tenant's uid.
var uidForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)

// isUID reports whether a text may be a uid: it is used in paths, and must not be mistaken for an id.
func isUID(uid string) bool {
	switch uid {
	case ".", "..", "new":
		return false
	}
	return uidForm.MatchString(uid) && !strings.HasPrefix(uid, models.PrefixWebhook) && !strings.HasPrefix(uid, "ep_")
}

// checkUID refuses an impossible uid. "" means none.
func checkUID(p *problems, uid string) {
	if uid != "" && !isUID(uid) {
		p.addf("uid", "must be 1 to 256 letters, digits, dots, dashes or underscores, not \".\", \"..\" or \"new\", and must not begin with wh_ or ep_")
	}
}

func checkMetadata(p *problems, metadata map[string]string) {
	if len(metadata) > maxMetadata {
		p.addf("metadata", "must be at most %d", maxMetadata)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if name == "" {
			p.addf("metadata", "a name must not be empty")
		}
		checkLength(p, "metadata", name, maxMetadataName)
		checkLength(p, "metadata."+name, metadata[name], maxMetadataValue)
	}
}

// applyNames applies a change of a webhook's uid, metadata and channels.
func applyNames(p *problems, w *models.Webhook, c WebhookChange) {
	set(&w.UID, c.UID)
	checkUID(p, w.UID)
	if c.Channels != nil {
		w.Channels = each(*c.Channels)
		checkChannels(p, "channels", w.Channels, maxWebhookChannels)
	}
	if c.Metadata != nil {
		w.Metadata = cloned(*c.Metadata)
		checkMetadata(p, w.Metadata)
	}
}

// cloned returns a copy that is never nil.
func cloned(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	maps.Copy(c, m)
	return c
}

// WebhookID returns the id of the webhook that a caller names by id or uid. If there is no such webhook it returns the
// name itself, which is no webhook's id.
func (s *Service) WebhookID(ctx context.Context, tenant, name string) (string, error) {
	if !isUID(name) {
		return name, nil
	}
	id, err := s.Store.WebhookByUID(ctx, tenant, name)
	if errors.Is(err, models.ErrNotFound) {
		return name, nil
	}
	return id, err
}
