package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/workflows"
)

// EnsureSearchAttributes registers Posthorn's missing search attributes in the namespace. It fails until they can be
// used, which takes some seconds: Temporal's services read namespaces at intervals, and refuse to start a workflow
// with an attribute they have not seen. It may run in several processes at once.
func EnsureSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	there, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("engine: list search attributes: %w", err)
	}
	missing := workflows.SearchAttributes()
	maps.DeleteFunc(missing, func(name string, _ enums.IndexedValueType) bool {
		_, ok := there.GetCustomAttributes()[name]
		return ok
	})
	if len(missing) > 0 {
		if err := addSearchAttributes(ctx, c, namespace, missing); err != nil {
			return err
		}
	}
	for name := range workflows.SearchAttributes() { // all are texts, or lists of texts
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: name + ` = "none"`})
		if err != nil {
			return fmt.Errorf("engine: search attribute %s cannot be used yet: %w", name, err)
		}
	}
	return nil
}

func addSearchAttributes(ctx context.Context, c client.Client, namespace string, missing map[string]enums.IndexedValueType) error {
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("engine: add search attributes: %w", err)
	}
	return nil
}
