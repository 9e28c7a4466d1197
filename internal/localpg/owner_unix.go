//go:build unix

package localpg

import "syscall"

// Attributes makes a process run as the owner.
func (o Owner) Attributes() *syscall.SysProcAttr {
	if !o.other {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}} //nolint:gosec // this system's user ids fit
}
