package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/models"
)

// Key is an API key as the API shows it, without the key itself.
type Key struct {
	ID        string      `json:"id" example:"key_0198c0de-0000-7000-8000-000000000001"`
	Tenant    string      `json:"tenant" example:"acme"`
	Name      string      `json:"name" example:"ci"`
	Role      models.Role `json:"role" enum:"tenant,publish,read,settings"`
	CreatedAt timestamp   `json:"created_at"`
	LastUsed  *timestamp  `json:"last_used_at" nullable:"true" doc:"When it was last used, accurate to about a minute; null = never."`
}

// NewKey is a newly created key.
type NewKey struct {
	Key
	Secret string `json:"key" doc:"The key itself. It is shown only once." example:"phk_5ZGyqE…"`
}

// KeyInput describes a key to create.
type KeyInput struct {
	Name string      `json:"name,omitempty" doc:"Shown as created_by on everything made with the key. At most 200 characters." example:"ci"`
	Role models.Role `json:"role" enum:"tenant,publish,read,settings" doc:"tenant: may do everything in the tenant. publish: may only publish events. read: may only read. settings: may only save InMemory4's settings."`
}

func keyView(k models.APIKey) Key {
	return Key{ID: k.ID, Tenant: models.TenantSlug(k.Tenant), Name: k.Name, Role: k.Role, CreatedAt: timestamp(k.CreatedAt), LastUsed: at(k.LastUsedAt)}
}

type createKey struct {
	OfTenant
	Body KeyInput
}

type listKeys struct {
	OfTenant
	PageParams
}

type ofKey struct {
	OfTenant
	ID string `path:"id" doc:"The key's id."`
}

func (s *server) keys() {
	handle(s, minters, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/tenants/{tenant}/keys", Tags: []string{tagKeys}, Summary: "Create a key",
		Description: "The answer is the only place where the key is shown.", DefaultStatus: http.StatusCreated,
	}, s.createKey)
	handle(s, keyReaders, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/tenants/{tenant}/keys", Tags: []string{tagKeys}, Summary: "List the keys in force",
	}, s.listKeys)
	handle(s, keyOwners, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/tenants/{tenant}/keys/{id}", Tags: []string{tagKeys}, Summary: "Revoke a key, at once",
	}, s.revokeKey)
}

func (s *server) createKey(ctx context.Context, in *createKey) (*answer[NewKey], error) {
	k, key, err := s.Service.CreateKey(ctx, in.Tenant, in.Body.Name, in.Body.Role)
	if err != nil {
		return nil, err
	}
	return answerWith(NewKey{keyView(k), key}), nil
}

func (s *server) listKeys(ctx context.Context, in *listKeys) (*answer[list[Key]], error) {
	keys, next, err := s.Service.Keys(ctx, in.Tenant, in.page())
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(keys, next, keyView)), nil
}

func (s *server) revokeKey(ctx context.Context, in *ofKey) (*struct{}, error) {
	return nil, s.Service.RevokeKey(ctx, in.Tenant, in.ID)
}
