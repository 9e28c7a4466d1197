package sender

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// Reason says which resource Posthorn itself lacked when an exchange ended as Local. It can be used as a metric label.
type Reason string

// The reasons. ReasonCanceled is for Aborted exchanges, where nothing failed.
const (
	ReasonFileDescriptors Reason = "file_descriptors"
	ReasonPorts           Reason = "ports"
	ReasonMemory          Reason = "memory"
	ReasonNetwork         Reason = "network"
	ReasonResolver        Reason = "resolver"
	ReasonCertificates    Reason = "certificates"
	ReasonCanceled        Reason = "canceled"
)

// localText is Result.Error for all Reasons: the webhook's owner need not know which, only the operator.
const localText = "not sent: Posthorn could not make the request, for a reason of its own"

// shortages are the errors that mean a local shortage, whichever system call they come from.
var shortages = []struct {
	errno  syscall.Errno
	reason Reason
}{
	{syscall.EMFILE, ReasonFileDescriptors},
	{syscall.ENFILE, ReasonFileDescriptors},
	{syscall.ENOBUFS, ReasonMemory},
	{syscall.ENOMEM, ReasonMemory},
	{syscall.ENETDOWN, ReasonNetwork},
}

// localReason returns the reason if err is Posthorn's own failure. It returns "" if err is the receiver's, or belongs
// to an unanswered name look-up, which canary judges.
//
// ENETUNREACH and EHOSTUNREACH have two sources that the error does not distinguish: the kernel, which has no route,
// and routers on the path, by ICMP. Only the former is Posthorn's own, so routed asks the kernel. A router's answer
// may concern a single receiver, and any tenant could choose an address that no router knows.
func localReason(err error, routed func(netip.AddrPort) bool) Reason {
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return ReasonCertificates
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return lookupReason(dns)
	}
	for _, shortage := range shortages {
		if errors.Is(err, shortage.errno) {
			return shortage.reason
		}
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "dial" {
		return ""
	}
	target := dialled(op)
	switch {
	case errors.Is(err, syscall.EAGAIN): // from connect(2): no free local port
		return ReasonPorts
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		// No free local port for IPv4. For IPv6 it can also mean that this machine has no IPv6 address.
		if !target.Addr().Is6() || routed(target) {
			return ReasonPorts
		}
		return withoutRoute(target, routed)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		if !routed(target) {
			return withoutRoute(target, routed)
		}
	}
	return ""
}

// withoutRoute decides whose failure a missing route to target is. A machine without IPv6 is not an outage: it can
// never reach a receiver that has only IPv6 addresses, and the receiver's owner should learn this.
func withoutRoute(target netip.AddrPort, routed func(netip.AddrPort) bool) Reason {
	if target.Addr().Is6() && routed(anyIPv4) {
		return ""
	}
	return ReasonNetwork
}

// anyIPv4 is reserved for documentation, so a route to it is the default route.
var anyIPv4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 443)

// hasRoute reports whether the kernel has a route to addr. Connecting a UDP socket sends nothing. An error that does
// not concern routes counts as no route: then something is missing here in any case.
func hasRoute(addr netip.AddrPort) bool {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// dialled returns the address that op dialled, unmapped, or the zero AddrPort if op does not say.
func dialled(op *net.OpError) netip.AddrPort {
	tcp, ok := op.Addr.(*net.TCPAddr)
	if !ok || tcp == nil {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// lookupReason finds a shortage behind a failed look-up. net.DNSError keeps only the text of the system call's error,
// which name servers cannot influence. The C library, when it has no file descriptor, just says that there is no such
// host. So lookupReason also checks whether there are any.
func lookupReason(dns *net.DNSError) Reason {
	err := tryDescriptors()
	for _, shortage := range shortages {
		if shortage.reason != ReasonNetwork && (endsWith(dns, shortage.errno) || errors.Is(err, shortage.errno)) {
			return shortage.reason
		}
	}
	return ""
}

// tryDescriptors returns the error of opening two file descriptors, which a look-up needs.
func tryDescriptors() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	_, _ = r.Close(), w.Close()
	return nil
}

func endsWith(dns *net.DNSError, errno syscall.Errno) bool {
	return strings.HasSuffix(dns.Err, errno.Error())
}
