package hooks

import "context"

// Direct sets the most deliveries of one event, and of one request, that are stored with them.
func (s *Service) Direct(event, request int) { s.fanOutAbove, s.maxDirect = event, request }

// TypeOf gives the type that a tenant knows by this name, to compare its identity.
func (s *Service) TypeOf(ctx context.Context, tenant, name string) (any, error) {
	v, err := s.directory.cached(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.eventType(name), nil
}

// EntryOf gives what is kept of a webhook, to compare its identity.
func (s *Service) EntryOf(ctx context.Context, tenant, id string) (any, error) {
	v, err := s.directory.load(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.webhooks[id], nil
}

// SchemaOf gives the compiled schema of a type that a tenant knows, to compare its identity.
func (s *Service) SchemaOf(ctx context.Context, tenant, name string) (any, error) {
	v, err := s.directory.cached(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.eventType(name).compiled()
}
