package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"google.golang.org/grpc/resolver"

	"github.com/posthorn/posthorn/internal/config"
)

// connection is a Temporal client and what it was made with.
type connection struct {
	client.Client
	namespace, address string
}

// dial returns the Temporal client that the standard TEMPORAL_ variables and profile ask for. The client connects when
// it is first used.
func dial(c config.Config, log *slog.Logger) (connection, error) {
	o, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return connection{}, fmt.Errorf("the TEMPORAL_ variables or Temporal's configuration file: %w", err)
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	if o.HostPort == "" {
		o.HostPort = client.DefaultHostPort
	}
	if err := checkTemporalAddress(o.HostPort); err != nil {
		return connection{}, err
	}
	o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, reconnecting()...)
	if err := PrepareTemporal(&o, c, log); err != nil {
		return connection{}, err
	}
	t, err := client.NewLazyClient(o)
	return connection{Client: t, namespace: o.Namespace, address: o.HostPort}, err
}

// PrepareTemporal sets the options that each Temporal client of Posthorn has: its log, its traces, and calls without gzip,
// which the SDK would use. Our calls have a few hundred bytes; to compress them costs both sides more than the network gains.
func PrepareTemporal(o *client.Options, c config.Config, log *slog.Logger) (err error) {
	o.Logger = temporalLogger(log)
	o.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	o.Interceptors, err = interceptors(c)
	return err
}

// checkTemporalAddress refuses an address that can never be reached. gRPC would report that only at the first call,
// without naming the address.
func checkTemporalAddress(address string) error {
	if err := checkTarget(address); err != nil {
		return fmt.Errorf("TEMPORAL_ADDRESS is %q: %w", address, err)
	}
	return nil
}

func checkTarget(address string) error {
	if scheme, _, ok := strings.Cut(address, ":"); ok && resolver.Get(scheme) != nil {
		return nil // a target in gRPC's own form, such as dns:///host:port
	}
	if strings.Contains(address, "://") {
		return errors.New("it must be host:port, without a scheme")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return errors.New("it must be host:port, such as localhost:7233")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("it must end in a port from 1 to 65535")
	}
	return nil
}
