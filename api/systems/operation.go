package systems

import (
	"net/http"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/models"
)

// Operation is one call of a system's API with everything that it accepts. It drives the reading of requests, and the
// tests of all systems walk it.
type Operation struct {
	Method string
	Path   string  // below the system's prefix, in Gin's syntax
	Query  []Field // parameters of the query; others are refused
	Body   Body
	Fields []Field // members of the body
	// Roles may call it, in addition to tenant and admin. For GET, read may too.
	Roles []models.Role
	// Private: it shows a secret. So read may not call it even if it is a GET, and its answer is not kept for repeated
	// idempotency keys.
	Private bool
	// Keys: portal links may not call it. Links: only portal links may call it.
	Keys, Links bool
	// Admins: only admin keys may call it.
	Admins bool
	// Anyone may call it, without a key. Nothing of the request is read.
	Anyone bool
	// MakesTenant: an admin key may name a tenant in the path that does not exist. [Request.Tenant] is "" then.
	MakesTenant bool
	// Publishes: it accepts events, which have their own limits, and idempotency keys that all processes share.
	Publishes bool
}

// Body is how an operation's fields are sent.
type Body int

// The kinds of bodies.
const (
	// NoBody: the body is not read.
	NoBody Body = iota
	// JSON: a JSON object, with any content type, because curl's default is not JSON.
	JSON
	// OptionalJSON: a JSON object, or nothing.
	OptionalJSON
	// Parameters: a JSON object, a form of either kind (application/x-www-form-urlencoded, multipart/form-data), or
	// parameters of the query.
	Parameters
)

// Field is one parameter of a query or one member of a body.
type Field struct {
	Name string
	// Alias is another name for the same field, "" = none. Both may be given if their values agree.
	Alias string
	Kind  Kind
	// Required: the field must be given. Null counts as given only if the field is Nullable.
	Required bool
	// Nullable: null has its own meaning. Otherwise null means absent.
	Nullable bool
	// ReadOnly: the field is part of answers, and is accepted when an answer is sent back. It has no effect.
	ReadOnly bool
	// Identity: the field is ReadOnly and must be the id of the webhook in the path.
	Identity bool
	Min, Max int      // bounds of a Number
	OneOf    []string // the allowed values of a Text; "" and nil = any
	Of       []Field  // the fields of each object of Objects, and of Nested
}

// Kind is the type of a field's value.
type Kind int

// The kinds of values.
const (
	Text   Kind = iota
	Flag        // true or false
	Switch      // a flag in every usual spelling: true, 1, "1", "on", "yes" … , and "" or null for false
	Number      // a whole number
	Names       // a list of texts
	// JoinedNames is a list of texts, each of which may hold several, separated by commas. For Parameters a single
	// text is enough.
	JoinedNames
	Objects // a list of objects
	Object  // an object of scalars
	Map     // an object of texts and nulls; the caller chooses the names
	Nested  // an object of fields
	Raw     // any JSON, as it was sent
)

// called reports whether the field has this name.
func (f *Field) called(name string) bool { return f.Name == name || f.Alias != "" && f.Alias == name }

// list reports whether the field may be repeated in a query or a form.
func (f *Field) list() bool { return f.Kind == Names || f.Kind == JoinedNames }

// Handle adds an operation below the system's prefix, with and without a trailing slash. A GET also serves HEAD.
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

// Operations returns all operations of the API, in the order in which they were added.
func (a *API) Operations() []Operation { return slices.Clone(a.operations) }
