package devserver

import (
	"net/netip"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/primitives"
)

const (
	// clusterName is the one cluster there is. The store remembers it.
	clusterName = "active"

	mainStore, visibilityStore = "main", "visibility"

	archivalDisabled = "disabled"
)

// serverConfig returns the settings that the server otherwise reads from its YAML file. The server opens only the ports
// in addrs: no metrics, no profiler, no HTTP API.
func serverConfig(addrs addresses, store store, shards int) *config.Config {
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: "127.0.0.1"},
		},
		Persistence: config.Persistence{
			DefaultStore:     mainStore,
			VisibilityStore:  visibilityStore,
			NumHistoryShards: int32(shards), //nolint:gosec // A small number.
			DataStores: map[string]config.DataStore{
				mainStore:       {SQL: store.main},
				visibilityStore: {SQL: store.visibility},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: dialable(addrs.frontend)},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(addrs.frontend),
			string(primitives.HistoryService):  service(addrs.history),
			string(primitives.MatchingService): service(addrs.matching),
			string(primitives.WorkerService):   service(addrs.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: archivalDisabled},
			Visibility: config.VisibilityArchival{State: archivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{
			Archival: config.ArchivalNamespaceDefaults{
				History:    config.HistoryArchivalNamespaceDefaults{State: archivalDisabled},
				Visibility: config.VisibilityArchivalNamespaceDefaults{State: archivalDisabled},
			},
		},
		// The server's own worker service is a client like any other.
		PublicClient: config.PublicClient{HostPort: dialable(addrs.frontend)},
	}
}

func service(addr netip.AddrPort) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: int(addr.Port()), BindOnIP: addr.Addr().String()}}
}
