package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// A recovery can be for the events of one channel or tag, and for the deliveries whose last answer was of one class.
func TestRecoveryFilter_ByChannelTagAndAnswer(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		names := map[string]string{}
		add := func(name, channel, tag string, codes ...int) {
			a := s.Acceptance(t, tenant, w)
			if channel != "" {
				a.Events[0].Channels = []string{"other", channel}
			}
			if tag != "" {
				a.Events[0].Tags = []string{tag}
			}
			s.mustAccept(t, a)
			names[a.Events[0].ID] = name
			for i, code := range codes {
				status := models.Pending
				if i == len(codes)-1 {
					status = models.Failed
				}
				r := s.Attempted(s.Reload(t, a.Deliveries[0]), status)
				r.Attempt.StatusCode = code
				s.MustRecord(t, r)
			}
			if len(codes) == 0 {
				d := s.Reload(t, a.Deliveries[0])
				require.NoError(t, s.HoldDelivery(t.Context(), &d, models.WebhookPaused))
			}
		}
		add("plain", "", "", 500, 404)
		add("channel", "one", "", 404, 500)
		add("tag", "", "import", 404)
		add("both", "one", "import", 404)
		add("silent", "one", "", 0)
		add("untried", "one", "")
		class := func(n int) *int { return &n }
		for _, tt := range []struct {
			narrow models.Recovery
			want   []string
		}{
			{models.Recovery{Channel: "one"}, []string{"both", "channel", "silent", "untried"}},
			{models.Recovery{Tag: "import"}, []string{"both", "tag"}},
			{models.Recovery{Channel: "one", Tag: "import"}, []string{"both"}},
			{models.Recovery{StatusClass: class(4)}, []string{"both", "plain", "tag"}},
			{models.Recovery{StatusClass: class(5)}, []string{"channel"}},
			{models.Recovery{StatusClass: class(0)}, []string{"silent"}},
			{models.Recovery{Channel: "one", StatusClass: class(4)}, []string{"both"}},
			{models.Recovery{Channel: "none"}, nil},
		} {
			s.Clock.Advance(time.Minute)
			tt.narrow.Tenant, tt.narrow.WebhookID, tt.narrow.Statuses = tenant, w.ID, heldAndFailed
			r, _ := s.Recover(t, tt.narrow)
			require.Equal(t, int64(len(tt.want)), r.Total)
			require.Equal(t, int64(len(tt.want)), r.Released)
			var got []string
			for _, d := range s.ofWebhook(t, w) {
				if d.RecoveryID == r.ID {
					got = append(got, names[d.EventID])
					failed := s.Attempted(d, models.Failed) // as it was before
					attempts, err := s.Attempts(t.Context(), tenant, d.ID)
					require.NoError(t, err)
					if len(attempts) == 0 {
						require.NoError(t, s.HoldDelivery(t.Context(), &d, models.WebhookPaused))
						continue
					}
					failed.Attempt.StatusCode = attempts[len(attempts)-1].StatusCode
					s.MustRecord(t, failed)
				}
			}
			require.ElementsMatch(t, tt.want, got)
		}

		late := s.Webhook(t, tenant)
		missed, _ := s.Recover(t, models.Recovery{Tenant: tenant, WebhookID: late.ID, Missed: true, Channel: "one", Tag: "import"})
		require.Equal(t, int64(1), missed.Released)
		require.Equal(t, "both", names[s.ofWebhook(t, late)[0].EventID])
	})
}
