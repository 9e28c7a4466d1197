// Package client is the Go client of Posthorn's API, /v1. Its calls and types are generated from the OpenAPI document
// (`make client`). [New] returns a client that authenticates and turns every refusal into an [*Error].
//
//	api, err := client.New("https://hooks.example.com", key)
//	…
//	answer, err := api.PublishEventWithResponse(ctx, "acme", nil, client.EventInput{Type: "order.created", Data: data})
//	if refused, ok := errors.AsType[*client.Error](err); ok {
//		// refused.Status, refused.Detail, refused.Errors
//	}
//	fmt.Println(answer.JSON202.ID)
//
// It must not import any other Posthorn package: programs link it without the service.
package client
