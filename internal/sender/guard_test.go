package sender

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// names is a resolver with fixed answers that counts how often it is asked.
type names struct {
	mu      sync.Mutex
	answers map[string][]netip.Addr
	asked   int
}

func newNames(pairs map[string]string) *names {
	answers := make(map[string][]netip.Addr, len(pairs))
	for name, list := range pairs {
		for addr := range strings.FieldsSeq(list) {
			answers[name] = append(answers[name], netip.MustParseAddr(addr))
		}
	}
	return &names{answers: answers}
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	addrs, ok := n.answers[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.9.9.9:53", IsNotFound: true}
	}
	return addrs, nil
}

func (n *names) set(host, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers[host] = []netip.Addr{netip.MustParseAddr(addr)}
}

func TestCheckURL_AllowsAndRefuses(t *testing.T) {
	t.Parallel()
	resolver := newNames(map[string]string{
		"example.com":   "93.184.215.14 2606:2800:21f:cb07:6820:80da:af6b:8b2c",
		"internal.test": "10.0.0.7",
		"mixed.test":    "10.0.0.7 93.184.215.14",
		"dev.test":      "127.0.0.1",
		"mapped.test":   "::ffff:127.0.0.1",
	})
	strict := Config{Resolver: resolver}
	dev := Config{Resolver: resolver, AllowLoopbackHTTP: true}
	plain := Config{Resolver: resolver, AllowHTTP: true}
	lan := Config{Resolver: resolver, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	const ok = ""
	tests := []struct {
		name   string
		cfg    Config
		url    string
		reason string
	}{
		{"public name", strict, "https://example.com/hook?x=1", ok},
		{"public name with port", strict, "https://example.com:8443/", ok},
		{"trailing dot", strict, "https://example.com./", ok},
		{"public address", strict, "https://93.184.215.14/", ok},
		{"public IPv6 address", strict, "https://[2606:4700:4700::1111]:443/", ok},
		{"name that does not resolve", strict, "https://soon.test/", ok},
		{"name with an underscore", strict, "https://a_b.example.com/", ok},
		{"one of several addresses is public", strict, "https://mixed.test/", ok},
		{"internationalised name", strict, "https://bücher.test/", ok},
		{"longest", strict, "https://example.com/" + strings.Repeat("a", MaxURLLength-20), ok},

		{"too long", strict, "https://example.com/" + strings.Repeat("a", MaxURLLength-19), "the URL is longer than 2048 bytes"},
		{"empty", strict, "", reasonNotHTTPS},
		{"relative", strict, "/hook", reasonNotHTTPS},
		{"no scheme", strict, "example.com/hook", reasonNotHTTPS},
		{"control character", strict, "https://example.com/\x00", reasonInvalid},
		{"bad escape", strict, "https://example.com/%zz", reasonInvalid},
		{"backslash before the host", strict, `https://example.com\@10.0.0.1/`, reasonInvalid},
		{"opaque", strict, "https:example.com", reasonInvalid},
		{"other scheme", strict, "ftp://example.com/", reasonNotHTTPS},
		{"file", strict, "file:///etc/passwd", reasonNotHTTPS},
		{"plain http", strict, "http://example.com/", reasonNotHTTPS},
		{"no host", strict, "https:///hook", reasonNoHost},
		{"port without host", strict, "https://:443/", reasonNoHost},
		{"credentials", strict, "https://user:secret@example.com/", reasonUserinfo},
		{"user alone", strict, "https://user@example.com/", reasonUserinfo},
		{"fragment", strict, "https://example.com/#top", "the URL must not contain a fragment"},
		{"empty fragment", strict, "https://example.com/#", "the URL must not contain a fragment"},
		{"port 0", strict, "https://example.com:0/", "the port is not valid"},
		{"port too large", strict, "https://example.com:65536/", "the port is not valid"},
		{"port missing", strict, "https://example.com:/", "the port is not valid"},

		{"loopback", strict, "https://127.0.0.1/", "127.0.0.1 is loopback"},
		{"IPv6 loopback", strict, "https://[::1]:9000/", "::1 is loopback"},
		{"mapped loopback", strict, "https://[::ffff:127.0.0.1]/", "127.0.0.1 is loopback"},
		{"private", strict, "https://10.0.0.1/", "10.0.0.1 is private"},
		{"link-local with zone", strict, "https://[fe80::1%25eth0]/", "fe80::1 is link-local"},
		{"metadata", strict, "https://169.254.169.254/latest/meta-data", "169.254.169.254 is a cloud metadata address"},
		{"localhost", strict, "https://localhost/", reasonNotPublic},
		{"localhost in capitals", strict, "https://LOCALHOST:9000/", reasonNotPublic},
		{"localhost with dot", strict, "https://localhost./", reasonNotPublic},
		{"below localhost", strict, "https://a.localhost/", reasonNotPublic},
		{"localhost in disguise", strict, "https://ⓛocalhost/", reasonNotPublic},
		{"loopback in disguise", strict, "https://127。0。0。1/", "127.0.0.1 is loopback"},
		{"short form of an address", strict, "https://127.1/", reasonInvalidIP},
		{"decimal address", strict, "https://2130706433/", reasonInvalidIP},
		{"hexadecimal address", strict, "https://0x7f000001/", reasonInvalidIP},
		{"octal address", strict, "https://0177.0.0.1/", reasonInvalidIP},
		{"resolves to private", strict, "https://internal.test/", reasonNotPublic},
		{"resolves to mapped loopback", strict, "https://mapped.test/", reasonNotPublic},

		{"development: loopback", dev, "http://127.0.0.1:9000/", ok},
		{"development: IPv6 loopback", dev, "http://[::1]:9000/", ok},
		{"development: localhost", dev, "http://localhost:9000/", ok},
		{"development: below localhost", dev, "http://hooks.localhost:9000/", ok},
		{"development: resolves to loopback", dev, "http://dev.test:9000/", ok},
		{"development: https to loopback", dev, "https://localhost:9000/", ok},
		{"development: http to a public name", dev, "http://example.com/", reasonLoopback},
		{"development: http to a public address", dev, "http://93.184.215.14/", reasonLoopback},
		{"development: http to a private address", dev, "http://10.0.0.1/", reasonLoopback},
		{"development: http to a name that does not resolve", dev, "http://soon.test/", reasonLoopback},
		{"development: https to a private address", dev, "https://10.0.0.1/", "10.0.0.1 is private"},

		{"http allowed", plain, "http://example.com/", ok},
		{"http allowed: name that does not resolve", plain, "http://soon.test/", ok},
		{"http allowed: loopback still is not", plain, "http://127.0.0.1/", "127.0.0.1 is loopback"},
		{"development: other scheme", dev, "ftp://127.0.0.1/", reasonLoopback},
		{"http allowed: other scheme", plain, "ftp://example.com/", reasonEither},
		{"network allowed", lan, "https://10.0.0.1/", ok},
		{"network allowed: by name", lan, "https://internal.test/", ok},
		{"network allowed: http still is not", lan, "http://10.0.0.1/", reasonNotHTTPS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := NewGuard(tt.cfg).CheckURL(t.Context(), tt.url)
			if tt.reason == ok {
				require.NoError(t, err)
				return
			}
			var refused *URLError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.reason, refused.Reason)
		})
	}
}
