package devserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	// workflowService is the name under which the frontend reports its health.
	workflowService = "temporal.api.workflowservice.v1.WorkflowService"

	pollInterval = 10 * time.Millisecond
)

// awaitFrontend waits until the frontend serves workflows.
func awaitFrontend(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to frontend: %w", err)
	}
	defer func() { _ = conn.Close() }()
	health := healthpb.NewHealthClient(conn)
	return poll(ctx, func() error {
		answer, err := health.Check(ctx, &healthpb.HealthCheckRequest{Service: workflowService})
		if err != nil {
			return fmt.Errorf("frontend: %w", err)
		}
		if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("frontend: %s", answer.GetStatus())
		}
		return nil
	})
}

// poll calls ready until it returns nil or ctx ends.
func poll(ctx context.Context, ready func() error) error {
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-again.C:
		}
	}
}
