package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// failureText describes a transport error for the webhook's owner. It uses known facts about the error and never its
// text, which may contain addresses of our own network or parts of the request.
func failureText(err, ctxErr error, timeout time.Duration) string {
	if errors.Is(ctxErr, context.DeadlineExceeded) {
		return fmt.Sprintf("timeout after %s", timeout)
	}
	for _, describe := range []func(error) string{destinationText, resolveText, tlsText, connectionText, protocolText} {
		if text := describe(err); text != "" {
			return text
		}
	}
	return "the request failed"
}

func destinationText(err error) string {
	if denied, ok := errors.AsType[*DestinationError](err); ok {
		return "destination not allowed: the host's address is " + denied.Reason // does not say which: names may resolve into our own network
	}
	if refused, ok := errors.AsType[*URLError](err); ok {
		return refused.Error()
	}
	return ""
}

func resolveText(err error) string {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return ""
	case dns.IsNotFound:
		return "no such host: " + truncate(dns.Name, 253)
	case dns.IsTimeout:
		return "timeout while resolving the host name"
	default:
		return "the host name cannot be resolved"
	}
}

func tlsText(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "TLS certificate is signed by an unknown authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "TLS certificate is not valid for this host"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "TLS certificate has expired or is not yet valid"
		}
		return "TLS certificate is not valid"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "TLS certificate is not valid"
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if string(record.RecordHeader[:]) == "HTTP/" {
			return "the receiver answered https with plain http"
		}
		return "the receiver does not speak TLS on this port"
	}
	// crypto/tls reports an alert as an OpError of these operations; alert texts are fixed by the protocol.
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return "TLS handshake failed: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	if strings.HasPrefix(err.Error(), "tls: ") {
		return "TLS handshake failed"
	}
	return ""
}

func connectionText(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset by the receiver"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, syscall.EAFNOSUPPORT): // the last two occur on a machine without IPv6
		return "the receiver's network cannot be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed by the receiver without an answer"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout while connecting"
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "timeout while connecting"
	}
	return ""
}

// protocolText covers answers that are not valid HTTP, for which net/http has only texts.
func protocolText(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, errUnasked):
		return "the receiver answered before it was asked"
	case errors.Is(err, errTooManyDials):
		return "the receiver closes connections before a request can be sent"
	case strings.Contains(text, "server closed idle connection"):
		return "connection closed by the receiver without an answer"
	case strings.Contains(text, "GOAWAY"):
		return "the receiver ended the HTTP/2 connection (GOAWAY) without an answer"
	case strings.Contains(text, "REFUSED_STREAM"):
		return "the receiver refused the HTTP/2 request (REFUSED_STREAM)"
	case strings.Contains(text, "http2: client connection lost"):
		return "connection lost: the receiver does not answer HTTP/2 pings"
	case errors.Is(err, errFlood):
		return "the receiver sent more than an answer takes"
	case strings.Contains(text, "server response headers exceeded"), strings.Contains(text, "response header list larger"):
		return fmt.Sprintf("response headers larger than %d KiB", maxResponseHeaderBytes>>10)
	case strings.Contains(text, "malformed"), strings.Contains(text, "HTTP/2"), strings.Contains(text, "http2"),
		strings.Contains(text, "stream error"), strings.Contains(text, "connection error: "), strings.Contains(text, "net/http: HTTP/1.x transport connection broken"):
		return "the receiver did not answer in proper HTTP"
	default:
		return ""
	}
}
