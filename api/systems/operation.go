package systems

import (
	"net/http"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/models"
)

// Operation is one call of a system's API and everything that it takes. Requests are read by it, and the tests of all
// systems walk it.
type Operation struct {
	Method string
	Path   string  // below the system's prefix, as Gin writes paths
	Query  []Field // parameters of the query; no other ones are accepted
	Body   Body
	Fields []Field // of the body
	// Roles may do it, beside tenant and admin; for GET read may as well.
	Roles []models.Role
	// Private: it shows a secret, and so read may not do it although it is a GET, and its answer is not kept for those who repeat
	// an idempotency key.
	Private bool
	// Keys alone may do it: no portal links. Links alone may do it: no keys.
	Keys, Links bool
	// Admins: administrators' keys alone may do it.
	Admins bool
	// Anyone may do it, without a key. Nothing of the request is read.
	Anyone bool
	// MakesTenant: an administrator may name a tenant in the path that does not exist. [Request.Tenant] is "" then.
	MakesTenant bool
	// Publishes: it accepts events, which have bounds of their own, and idempotency keys that all processes know.
	Publishes bool
}

// Body says how the fields of an operation are sent.
type Body int

// The kinds of bodies.
const (
	// NoBody: the body is not read, whatever it is.
	NoBody Body = iota
	// JSON: a JSON object, with any content type, as curl's own default is not JSON's.
	JSON
	// OptionalJSON: the same, or nothing.
	OptionalJSON
	// Parameters: a JSON object, a form of either kind (application/x-www-form-urlencoded, multipart/form-data), or
	// parameters of the query.
	Parameters
)

// Field is one parameter of a query or one member of a body.
type Field struct {
	Name string
	// Alias is another name for the same field, "" = none. Both may be given if they say the same.
	Alias string
	Kind  Kind
	// Required: it must be given. Null counts as given only where the field is Nullable.
	Required bool
	// Nullable: null has a meaning of its own; otherwise it is the same as nothing.
	Nullable bool
	// ReadOnly: it belongs to what the API answers, and is accepted when that is sent back. It has no effect.
	ReadOnly bool
	// Identity: it is ReadOnly and must be the id of the webhook that the path names.
	Identity bool
	Min, Max int      // bounds of a Number
	OneOf    []string // what a Text may be; "" and nil = anything
	Of       []Field  // of each object of Objects, and of Nested
}

// Kind is what the value of a field is.
type Kind int

// The kinds of values.
const (
	Text   Kind = iota
	Flag        // true or false
	Switch      // a flag in every usual spelling: true, 1, "1", "on", "yes" … , and "" or null for false
	Number      // a whole number
	Names       // a list of texts
	// JoinedNames is a list of texts, each of which may hold several with commas between them. For Parameters a text alone
	// will do.
	JoinedNames
	Objects // a list of objects
	Object  // an object of scalars
	Map     // an object of texts and nulls, under names of the caller's
	Nested  // an object of fields
	Raw     // any JSON, as it was sent
)

// called reports whether the field is given under this name.
func (f *Field) called(name string) bool { return f.Name == name || f.Alias != "" && f.Alias == name }

// list reports whether the field may be repeated in a query or a form.
func (f *Field) list() bool { return f.Kind == Names || f.Kind == JoinedNames }

// Handle adds an operation below the system's prefix, with a slash at the end of its path and without one. GET is served
// for HEAD as well.
func (a *API) Handle(o Operation, h Handler) {
	methods := []string{o.Method}
	if o.Method == http.MethodGet {
		methods = append(methods, http.MethodHead)
		if !o.Private {
			o.Roles = append(slices.Clone(o.Roles), models.RoleRead)
		}
	}
	a.operations = append(a.operations, o)
	path := "/" + a.System + strings.TrimSuffix(o.Path, "/")
	for _, method := range methods {
		a.engine.Handle(method, path, a.serve(&o, h))
		a.engine.Handle(method, path+"/", a.serve(&o, h))
	}
}

// Operations gives all that the API has, in the order in which they were added.
func (a *API) Operations() []Operation { return slices.Clone(a.operations) }
