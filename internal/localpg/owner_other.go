//go:build !unix

package localpg

import "syscall"

// Attributes makes a process run as the owner, who is this process's user: other systems have no root.
func (Owner) Attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
