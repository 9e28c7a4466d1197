package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	longKey  = "hunter2-hunter2-hunter2-1"
	otherKey = "hunter2-hunter2-hunter2-2"
)

func TestAdmins_AdminKeys(t *testing.T) {
	t.Parallel()
	c := defaults()
	admins, err := c.Admins()
	require.NoError(t, err)
	require.Empty(t, admins)

	c.AdminKeys = "alice=" + longKey + ", bob.2=" + otherKey + "=="
	admins, err = c.Admins()
	require.NoError(t, err)
	require.Equal(t, []Admin{{"alice", longKey}, {"bob.2", otherKey + "=="}}, admins)
	require.NoError(t, c.Validate())
}

// Errors do not contain the keys.
func TestAdmins_AdminKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, more Secret
		problem     string
	}{
		{"hunter2", "", "POSTHORN_ADMIN_KEY must have at least 24 characters"},
		{"hunter2-hunter2-hunter2", "", "POSTHORN_ADMIN_KEY must have at least 24 characters"},
		{"", "alice=hunter2", "POSTHORN_ADMIN_KEYS entry 1 (alice): the key must have at least 24 characters"},
		{"", "alice=", "entry 1 (alice) has no key"},
		{"", Secret(longKey), "entry 1 must be name=key"},
		{"", "alice=" + longKey + ",", "entry 2 must be name=key"},
		{"", "alice=" + longKey + "," + otherKey, "entry 2 must be name=key"},
		{"", "al ice=" + longKey, "entry 1 must be name=key"},
		{"", "alice=" + longKey + ",alice=" + otherKey, "entry 2: the name alice is already used"},
		{"", "alice=" + longKey + ",bob=" + longKey, "entry 2 (bob) has the same key as another entry"},
		{longKey, "alice=" + longKey, "entry 1 (alice) has the same key as another entry"},
		{longKey, "admin=" + otherKey, "entry 1: the name admin is already used"},
		{"", "alice=hunter2-hunter2-hunter2-hünter2", "entry 1 (alice): the key must be visible ASCII"},
	} {
		config := defaults()
		config.AdminKey, config.AdminKeys = c.first, c.more
		err := config.Validate()
		require.ErrorContains(t, err, c.problem)
		require.NotContains(t, strings.ToLower(err.Error()), "hunter2")
	}
}

func TestAdmins_Origins(t *testing.T) {
	t.Parallel()
	var o Origins
	require.NoError(t, o.UnmarshalText([]byte("https://app.example.com, http://127.0.0.1:3000,,HTTPS://Shop.Example.com:443,http://[::1]:80")))
	require.Equal(t, Origins{"https://app.example.com", "http://127.0.0.1:3000", "https://shop.example.com", "http://[::1]"}, o)
	require.NoError(t, o.UnmarshalText(nil))
	require.Empty(t, o)
	for _, text := range []string{"*", "https://*", "https://*.example.com", "null", "app.example.com", "https://app.example.com/", "https://app.example.com/a",
		"https://app.example.com?a", "https://app.example.com#a", "https://u:p@app.example.com", "ftp://app.example.com", "https://", "https://a b"} {
		require.ErrorContains(t, o.UnmarshalText([]byte("https://fine.example,"+text)), "is not an origin", text)
		_, err := parse(t, "--cors-origins="+text)
		require.ErrorContains(t, err, "is not an origin", text)
	}
}

func TestAdmins_RequestRate(t *testing.T) {
	t.Parallel()
	for rate, ok := range map[float64]bool{0: true, 0.5: true, 1000: true, -1: false, MaxRate + 1: false} {
		c := defaults()
		c.RequestRate = rate
		require.Equal(t, ok, c.Validate() == nil, rate)
	}
}
