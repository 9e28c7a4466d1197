package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen listens on a TCP address. Its error names the setting of the address.
func Listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, ListenError(setting, err)
	}
	return listener, nil
}

// ListenError names the setting of an address that cannot be listened on, and says what to do if the address is in
// use.
func ListenError(setting string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %w; stop what listens there, or choose another address", setting, err)
	}
	return fmt.Errorf("%s: %w", setting, err)
}
