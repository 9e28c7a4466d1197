package app

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/service"
)

func TestCallers_OnlyDevRefusesForeignHosts(t *testing.T) {
	t.Parallel()
	c := config.Config{Addr: "127.0.0.1:8080", PublicURL: "https://hooks.example.com"}
	for host, refused := range map[string]bool{"evil.example": true, "localhost:8080": false, "hooks.example.com": false} {
		r := httptest.NewRequest(http.MethodGet, "http://"+host+"/v1/tenants", nil)
		dev, err := gateOf(c, true)
		require.NoError(t, err)
		require.Equal(t, refused, dev.Check(r) != nil, host)
		serve, err := gateOf(c, false)
		require.NoError(t, err)
		require.Nil(t, serve.Check(r), host)
	}
}

func TestCallers_TheConfigurationOfCallersArrives(t *testing.T) {
	t.Parallel()
	c := config.Config{AdminKeys: "alice=a-key-of-24-characters-or-more", CORSOrigins: config.Origins{"https://app.example.com"},
		TrustedProxies: config.Networks{netip.MustParsePrefix("192.0.2.0/24")}}
	keys, err := adminKeys(c)
	require.NoError(t, err)
	require.Equal(t, []service.AdminKey{{Name: "alice", Key: "a-key-of-24-characters-or-more"}}, keys)
	gate, err := gateOf(c, false)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodOptions, "/v1/tenants", nil) // from 192.0.2.1
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	r.Header.Set("Origin", "https://app.example.com")
	require.Equal(t, "198.51.100.7", gate.Address(r))
	require.True(t, gate.CORS(http.Header{}, r))
	c.AdminKeys = "alice=short"
	_, err = adminKeys(c)
	require.ErrorContains(t, err, "POSTHORN_ADMIN_KEYS")
	require.NotContains(t, err.Error(), "short ")
}
