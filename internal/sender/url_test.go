package sender

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/hostname"
)

// A URL is stored in one canonical form, or refused with the reason.
func TestURL_CanonicalURL(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", hostname.MaxLabel)
	longest := strings.Repeat(label+".", 3) + strings.Repeat("b", 61) // 253 bytes
	const same = "="                                                  // as it was given
	tests := []struct{ raw, canonical, reason string }{
		// Kept unchanged.
		{"https://example.com", same, ""},
		{"https://example.com/", same, ""},
		{"https://example.com?a=b", same, ""},
		{"https://example.com/?", same, ""},
		{"https://example.com:8443/a", same, ""},
		{"https://example.com/a/../b/./c//d/", same, ""},
		{"https://example.com//evil.test/", same, ""},
		{"https://example.com/%2F%2f%41%7e/%C3%A9?a=%20+%2B%c3%a9", same, ""},
		{"https://example.com/a;b=1,2:3@4!$&'()*+[]?x[]=y&z=a/b?c", same, ""},
		{"https://a_b.example.com/-x-", same, ""},
		{"https://-a-.example.com/", same, ""},
		{"https://xn--bcher-kva.test/", same, ""},
		{"https://" + longest + "/", same, ""},
		{"https://93.184.215.14/", same, ""},
		{"https://[2606:4700::1111]/", same, ""},

		// Scheme, host and port.
		{"HTTPS://EXAMPLE.COM/Path?Query", "https://example.com/Path?Query", ""},
		{"https://example.com:443/", "https://example.com/", ""},
		{"https://example.com:00443", "https://example.com", ""},
		{"https://example.com:08443/", "https://example.com:8443/", ""},
		{"https://example.com:80/", same, ""},
		{"https://example.com./", "https://example.com/", ""},
		{"https://bücher.test/", "https://xn--bcher-kva.test/", ""},
		{"https://BÜCHER.TEST/", "https://xn--bcher-kva.test/", ""},
		{"https://b%C3%BCcher.test/", "https://xn--bcher-kva.test/", ""},
		{"https://faß.test/", "https://xn--fa-hia.test/", ""},
		{"https://ｅｘａｍｐｌｅ。ｃｏｍ/", "https://example.com/", ""},
		{"https://exam\u00adple.com/", "https://example.com/", ""},
		{"https://日本語.test/", "https://xn--wgv71a119e.test/", ""},
		{"https://[2606:4700:0:0::1111]:443/", "https://[2606:4700::1111]/", ""},
		{"https://[2606:4700::ABCD]:8443/", "https://[2606:4700::abcd]:8443/", ""},
		{"https://[::ffff:93.184.215.14]/", "https://93.184.215.14/", ""},

		// Path and query.
		{"https://example.com/a b", "https://example.com/a%20b", ""},
		{"https://example.com/?a=b c", "https://example.com/?a=b%20c", ""},
		{"https://example.com/é?ü=日", "https://example.com/%C3%A9?%C3%BC=%E6%97%A5", ""},
		{"https://example.com/é%C3%A9", "https://example.com/%C3%A9%C3%A9", ""},
		{`https://example.com/"<>^` + "`{|}", "https://example.com/%22%3C%3E%5E%60%7B%7C%7D", ""},
		{`https://example.com/?"<>^` + "`{|}", "https://example.com/?%22%3C%3E%5E%60%7B%7C%7D", ""},
		{"https://example.com/a%2Fb c", "https://example.com/a%2Fb%20c", ""},

		// Parts that never arrive.
		{"https://example.com/a ", "", reasonSpace},
		{" https://example.com/a", "", reasonSpace},
		{"https://example.com/a\u00a0", "", reasonSpace},
		{"https://example.com/a\u3000", "", reasonSpace},
		{"https://example.com/a\n", "", reasonSpace},
		{"https://example.com/a\tb", "", reasonInvalid},
		{"https://example.com/a\r\nX: y", "", reasonInvalid},
		{"https://example.com/?a=\x7f", "", reasonInvalid},
		{"https://example.com/\xff", "", reasonNotUTF8},
		{`https://example.com/a\b`, "", reasonBackslash},
		{`https://example.com/?a\b`, "", reasonBackslash},
		{"https://example.com/?a=%", "", reasonEscape},
		{"https://example.com/?a=%zz", "", reasonEscape},
		{"https://example.com/%4", "", reasonInvalid},
		{"https://example.com/a#b", "", reasonFragment},
		{"https://user@example.com/", "", reasonUserinfo},
		{"https://@example.com/", "", reasonUserinfo},
		{"https://example.com:/", "", reasonPort},
		{"https://a..b/", "", hostname.ErrEmptyLabel.Error()},
		{"https://.example.com/", "", hostname.ErrEmptyLabel.Error()},
		{"https://example.com../", "", reasonInvalidIP},
		{"https://" + label + "a.test/", "", hostname.ErrLongLabel.Error()},
		{"https://" + strings.Repeat("ü", 60) + ".test/", "", hostname.ErrLongLabel.Error()},
		{"https://" + longest + "b/", "", hostname.ErrLongName.Error()},
		{"https://ex$ample.com/", "", hostname.ErrNoName.Error()},
		{"https://(example).com/", "", hostname.ErrNoName.Error()},
		{"https://*.example.com/", "", hostname.ErrNoName.Error()},
		{"https://ex%61mple.com/", "", reasonInvalid},
		{"https://[2606:4700::1111%25eth0]/", "", reasonZone},
		{"https://[example.com]/", "", reasonInvalid},
		{"https://a℀b.test/", "", reasonInvalid},
		{"https://example.com/" + strings.Repeat("é", 700), "", tooLong},
	}
	guard := NewGuard(Config{Resolver: newNames(nil)})
	for _, tt := range tests {
		t.Run(tt.raw, func(t *testing.T) {
			t.Parallel()
			if tt.canonical == same {
				tt.canonical = tt.raw
			}
			canonical, err := guard.CheckURL(t.Context(), tt.raw)
			if tt.reason != "" {
				var refused *URLError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, tt.reason, refused.Reason)
				require.Empty(t, canonical)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.canonical, canonical)
			again, err := guard.CheckURL(t.Context(), canonical)
			require.NoError(t, err)
			require.Equal(t, canonical, again)
		})
	}
}

// TLS, the Host header and the request line name the dialled host, even for URLs that were stored unchanged.
func TestURL_PostGoesWhereItSays(t *testing.T) {
	t.Parallel()
	type seen struct{ host, line, name string }
	got := make(chan seen, 1)
	listen := rawReceiver(t, func(_ int, conn *net.TCPConn) {
		c := &lie{Conn: conn, Reader: bufio.NewReader(conn), tcp: conn, wrote: &discarded}
		secure, err := secured(c)
		if err != nil {
			return
		}
		reader := bufio.NewReader(secure)
		if _, err := reader.Peek(1); err != nil {
			return
		}
		line, err := reader.Peek(reader.Buffered())
		if err != nil {
			return
		}
		first, _, _ := strings.Cut(string(line), "\r\n")
		r, err := http.ReadRequest(reader)
		if err != nil {
			got <- seen{line: first}
			return
		}
		got <- seen{r.Host, first, secure.ConnectionState().ServerName}
		_, _ = io.WriteString(secure, ok+"Content-Length: 0\r\n\r\n")
	})
	port := listen[strings.LastIndexByte(listen, ':'):]
	resolver := newNames(map[string]string{"xn--bcher-kva.test": "127.0.0.1", "liar.test": "127.0.0.1"})
	client := newTestClient(t, Config{Resolver: resolver, RootCAs: liarRoots.pool})
	for _, transport := range []*http.Transport{client.secure.kept, client.secure.single} {
		transport.TLSClientConfig.InsecureSkipVerify = true // the name is checked
	}
	for raw, want := range map[string]seen{
		"https://bücher.test" + port + "/é x?q=a b":    {"xn--bcher-kva.test" + port, "POST /%C3%A9%20x?q=a%20b HTTP/1.1", "xn--bcher-kva.test"},
		"https://ＢÜCHER。test." + port:                  {"xn--bcher-kva.test" + port, "POST / HTTP/1.1", "xn--bcher-kva.test"},
		"https://LIAR.test" + port + "//a/%2F?%41=é[]": {"liar.test" + port, "POST //a/%2F?%41=%C3%A9[] HTTP/1.1", "liar.test"},
	} {
		result := client.Post(t.Context(), Request{URL: raw, Body: []byte("{}"), Timeout: long})
		require.Equal(t, Received, result.Outcome, "%s: %s", raw, result.Error)
		require.Equal(t, want, <-got, raw)
		canonical, err := client.Guard().CheckURL(t.Context(), raw)
		require.NoError(t, err)
		require.Equal(t, canonical, result.URL)
	}
}

// Every accepted URL makes a request line that parses back to the same URL, with the dialled host.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{"https://example.com/", "http://127.0.0.1", "https://[::1%25x]:1/#", "https://ⓛocalhost/", "https://1.2.3.4.5",
		"https://bücher.test:0443/a b?é=%41", "https://a..b/", "https://example.com?#", "https://xn--/%2f?[]", `https://a\b/`} {
		f.Add(seed)
	}
	guard := NewGuard(Config{Resolver: newNames(nil)})
	f.Fuzz(func(t *testing.T, raw string) {
		canonical, err := guard.CheckURL(t.Context(), raw)
		if err != nil {
			var refused *URLError
			require.ErrorAs(t, err, &refused)
			require.NotEmpty(t, refused.Reason)
			return
		}
		again, err := guard.CheckURL(t.Context(), canonical)
		require.NoError(t, err)
		require.Equal(t, canonical, again)
		require.True(t, strings.HasPrefix(canonical, "https://"), raw)

		u, err := url.Parse(canonical)
		require.NoError(t, err)
		line := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line)))
		require.NoError(t, err, line)
		require.Equal(t, u.Host, r.Host)
		require.Equal(t, u.RequestURI(), r.RequestURI)
		require.Equal(t, "https://"+r.Host+strings.TrimPrefix(r.RequestURI, "/"), strings.Replace(canonical, u.Host+"/", u.Host, 1))
		for _, c := range canonical {
			require.True(t, c > ' ' && c < 0x7f, "%q", canonical)
		}
	})
}
