package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// refused tries to register URLs, none of which may be accepted.
func (x *tenant) refused(urls ...string) {
	x.Helper()
	for _, url := range urls {
		reply := x.api.Call(x, http.StatusUnprocessableEntity, "POST "+x.path("/webhooks"), object{"url": url})
		require.Contains(x, string(reply.Body), `"url"`, url)
	}
	require.Empty(x, harness.Get[harness.List[harness.Webhook]](x, x.api, x.path("/webhooks")).Data)
}

// destinationsAreRefused is what holds for both kinds of world, which may send to this machine and nowhere else
// that is not public.
func destinationsAreRefused(x *tenant) {
	x.refused("https://10.0.0.1/", "https://192.168.1.1/", "https://172.16.0.1/", "https://169.254.169.254/latest/meta-data/",
		"https://[fd00::1]/", "https://[fe80::1]/", "https://0.0.0.0/", "https://100.64.0.1/", "https://224.0.0.1/", "https://[64:ff9b::a00:1]/",
		"https://0x7f.1/", "https://2130706433/")
	if x.world.IsDev() {
		x.refused("http://93.184.215.14/", "http://10.0.0.1/")
	}
}

// guardActsWhenRegistering is a production as it is meant to be: no plain http, nothing on this machine.
func guardActsWhenRegistering(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	api := newProduction(t, temporal, "POSTHORN_ALLOW_HTTP=", "POSTHORN_ALLOW_NETWORKS=").Start(t, "api").API
	r := harness.NewReceiver(t, nil)
	secure := strings.Replace(r.URL, "http:", "https:", 1)
	newTenant(t, api).refused(r.URL, secure, strings.Replace(secure, "127.0.0.1", "localhost", 1), strings.Replace(secure, "127.0.0.1", "LOCALHOST.", 1),
		strings.Replace(secure, "127.0.0.1", "receiver.localhost", 1), "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://127.1/", "http://93.184.215.14/")
	require.Empty(t, r.Posts())
}

// guardActsWhenDialling has an API that accepts a destination and a worker that does not. The worker stops a
// destination that was acceptable, or resolved differently, when it was registered.
func guardActsWhenDialling(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal)
	api := i.Start(t, "api").API
	i.Start(t, "worker", "POSTHORN_ALLOW_NETWORKS=")
	for _, host := range []string{"127.0.0.1", "localhost", "receiver.localhost"} {
		x := newTenant(t, api)
		r := harness.NewReceiver(t, nil)
		x.hook(strings.Replace(r.URL, "127.0.0.1", host, 1), object{"retry": object{"max": 0}})

		d := x.await(x.publish(1).ID, "failed")

		require.Len(t, d.Attempts, 1)
		require.Nil(t, d.Attempts[0].StatusCode)
		require.Contains(t, *d.Attempts[0].Error, "not allowed", host)
		require.Empty(t, r.Posts(), host)
	}
}
