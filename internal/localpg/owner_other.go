//go:build !unix

package localpg

import "syscall"

// Attributes make a process run as the owner, who is this process's user: elsewhere there is no root.
func (Owner) Attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
