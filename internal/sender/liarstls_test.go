package sender

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// liarRoots is the authority that the client trusts in these tests, and a certificate of it for liar.test.
var liarRoots = func() (r struct {
	authority
	pool *x509.CertPool
	good tls.Certificate
}) {
	r.authority = newAuthority("trusted", nil)
	r.pool = x509.NewCertPool()
	r.pool.AddCert(r.certificate)
	r.good = r.issue(leaf())
	return r
}()

// newAuthority returns an authority signed by another one, or by itself.
func newAuthority(name string, by *authority) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	return authority{certificate: signed(template, parent, &key.PublicKey, signer), key: key}
}

func signed(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return certificate
}

// leaf is the template of a good certificate for liar.test.
func leaf() *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"liar.test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
}

func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	certificate := signed(template, a.certificate, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

// shows returns a receiver with a wrong certificate.
func shows(certificate tls.Certificate) func(*lie) {
	return speaks(&tls.Config{Certificates: []tls.Certificate{certificate}}, func(*tls.Conn) {})
}

// speaks does the handshake and the exchange after it.
func speaks(cfg *tls.Config, then func(conn *tls.Conn)) func(*lie) {
	return func(c *lie) {
		conn := tls.Server(c, cfg)
		if conn.Handshake() == nil {
			then(conn)
		}
	}
}

// readsTLS reads the client's first record and then answers with given bytes.
func readsTLS(then func(c *lie)) func(*lie) {
	return func(c *lie) {
		head := make([]byte, 5)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[3])<<8|int64(head[4])); err == nil {
			then(c)
		}
	}
}

func record(kind byte, length uint16, payload string) string {
	return string([]byte{kind, 3, 3, byte(length >> 8), byte(length)}) + payload
}

func tlsLiars(t *testing.T) []liar {
	t.Helper()
	const (
		wrongName = "TLS certificate is not valid for this host"
		unknown   = "TLS certificate is signed by an unknown authority"
		notNow    = "TLS certificate has expired or is not yet valid"
		invalid   = "TLS certificate is not valid"
		notTLS    = "the receiver does not speak TLS on this port"
	)
	roots := &liarRoots.authority
	altered := func(change func(c *x509.Certificate)) tls.Certificate {
		template := leaf()
		change(template)
		return roots.issue(template)
	}
	other := newAuthority("other", nil)
	between := newAuthority("between", roots)
	notAuthority := authority{certificate: signed(leaf(), roots.certificate, &other.key.PublicKey, roots.key), key: other.key}
	self, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	selfSigned := tls.Certificate{Certificate: [][]byte{signed(leaf(), leaf(), &self.PublicKey, self).Raw}, PrivateKey: self}
	below := notAuthority.issue(leaf())
	below.Certificate = append(below.Certificate, notAuthority.certificate.Raw)
	limited := newAuthority("limited", nil)
	limited.certificate = signed(&x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "limited"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"elsewhere.test"}}, roots.certificate, &limited.key.PublicKey, roots.key)
	outside := limited.issue(leaf())
	outside.Certificate = append(outside.Certificate, limited.certificate.Raw)

	good := &tls.Config{Certificates: []tls.Certificate{liarRoots.good}}
	old := &tls.Config{Certificates: good.Certificates, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	asking := &tls.Config{Certificates: good.Certificates, ClientAuth: tls.RequireAnyClientCert}
	request := func(conn *tls.Conn) bool {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		return err == nil
	}
	answers := func(text string, then func(conn *tls.Conn)) func(*lie) {
		return speaks(good, func(conn *tls.Conn) {
			if request(conn) {
				_, _ = io.WriteString(conn, text)
				then(conn)
			}
		})
	}
	hold := func(conn *tls.Conn) { _, _ = io.Copy(io.Discard, conn) }
	cutOff := func(conn *tls.Conn) { _ = conn.NetConn().Close() }
	return []liar{
		{name: "plain", serve: answers(ok+"Content-Length: 2\r\n\r\nhi", hold), status: 200, body: "hi"},

		// Certificates.
		{name: "an unknown authority", serve: shows(other.issue(leaf())), error: unknown},
		{name: "signed by itself", serve: shows(selfSigned), error: unknown},
		{name: "an authority in between that is not sent", serve: shows(between.issue(leaf())), error: unknown},
		{name: "signed by a certificate that is no authority's", serve: shows(below), error: unknown},
		{name: "outside what its authority may sign", serve: shows(outside), error: invalid},
		{name: "expired", serve: shows(altered(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), error: notNow},
		{name: "not valid yet", serve: shows(altered(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) })), error: notNow},
		{name: "another name", serve: shows(altered(func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} })), error: wrongName},
		{name: "a name below", serve: shows(altered(func(c *x509.Certificate) { c.DNSNames = []string{"a.liar.test", "*.liar.test"} })), error: wrongName},
		{name: "a name for all", serve: shows(altered(func(c *x509.Certificate) { c.DNSNames = []string{"*"} })), error: wrongName},
		{name: "a name with a NUL", serve: shows(altered(func(c *x509.Certificate) { c.DNSNames = []string{"liar.test\x00.other.test"} })), error: wrongName},
		{name: "a common name alone", serve: shows(altered(func(c *x509.Certificate) { c.DNSNames, c.Subject = nil, pkix.Name{CommonName: "liar.test"} })), error: wrongName},
		{name: "an address alone", serve: shows(altered(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv4(127, 0, 0, 1)} })), error: wrongName},
		{name: "a client's certificate", serve: shows(altered(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })), error: invalid},
		{name: "a critical extension that nobody knows", serve: shows(altered(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		})), error: invalid},
		{name: "a key that is not the certificate's", serve: shows(tls.Certificate{Certificate: liarRoots.good.Certificate, PrivateKey: self}), error: "TLS handshake failed"},
		{name: "wants a certificate", serve: speaks(asking, hold), error: "TLS handshake failed: certificate required"},

		// Handshakes.
		{name: "TLS 1.1", serve: speaks(old, hold), error: "TLS handshake failed: protocol version not supported"},
		{name: "plain HTTP", serve: readsTLS(says("HTTP/1.1 400 Bad Request\r\n\r\n")), error: "the receiver answered https with plain http"},
		{name: "SMTP", serve: says("220 mail.example ESMTP\r\n"), error: notTLS},
		{name: "silence", serve: (*lie).wait, timeout: hung, error: hungText},
		{name: "closes", serve: func(*lie) {}, error: closedText},
		{name: "closes after the client's hello", serve: readsTLS(func(*lie) {}), error: closedText},
		{name: "half a record", serve: readsTLS(says(record(22, 100, "\x02\x00"))), error: closedText},
		{name: "half a record and silence", serve: readsTLS(holds(record(22, 100, "\x02\x00"))), timeout: hung, error: hungText},
		{name: "a record that is too long", serve: readsTLS(floods(record(22, 0xffff, ""), "x")), error: notTLS},
		{name: "a record of no kind", serve: readsTLS(holds(record(99, 4, "abcd"))), error: notTLS},
		{name: "empty records without end", serve: readsTLS(floods("", record(22, 0, ""))), error: "TLS handshake failed: unexpected message"},
		{name: "a hello that is none", serve: readsTLS(holds(record(22, 8, "\x02\x00\x00\x04abcd"))), error: "TLS handshake failed: error decoding message"},
		{name: "a handshake message of 16 MiB", serve: readsTLS(holds(record(22, 4, "\x02\xff\xff\xff"))), error: "TLS handshake failed"},
		{name: "an alert", serve: readsTLS(holds(record(21, 2, "\x02\x28"))), error: "TLS handshake failed: handshake failure"},
		{name: "an alert that nobody knows", serve: readsTLS(holds(record(21, 2, "\x02\xfe"))), error: "TLS handshake failed: alert(254)"},
		{name: "warnings without end", serve: readsTLS(floods("", record(21, 2, "\x01\x5a"))), error: "TLS handshake failed"},
		{name: "says farewell at once", serve: readsTLS(holds(record(21, 2, "\x01\x00"))), error: closedText},

		// After the handshake.
		{name: "closes after the handshake", serve: speaks(good, func(*tls.Conn) {}), error: closedText},
		{name: "says farewell after the request", serve: answers("", func(conn *tls.Conn) { _ = conn.Close() }), error: closedText},
		{name: "cut off before the end, with a length", serve: answers(ok+"Content-Length: 9\r\n\r\nhi", cutOff), status: 200, body: "hi", cut: true},
		{name: "cut off before the end, without a length", serve: answers(ok+"\r\nhi", cutOff), status: 200, body: "hi"},
		{name: "a record that was changed", serve: func(c *lie) {
			speaks(good, func(conn *tls.Conn) {
				if request(conn) {
					c.say(record(23, 32, "01234567890123456789012345678901"))
					c.wait()
				}
			})(c)
		}, error: "TLS handshake failed: bad record MAC"},
		{name: "a body without end", serve: answers(ok+"\r\n", func(conn *tls.Conn) { until(func() error { _, err := conn.Write(make([]byte, 4096)); return err }) }), status: 200, cut: true},
		{name: "says HTTP/2 and speaks HTTP 1", serve: func(c *lie) {
			if conn, err := secured(c, "h2"); err == nil {
				_, _ = io.WriteString(conn, ok+"Content-Length: 0\r\n\r\n")
				hold(conn)
			}
		}, error: improperText},
	}
}
