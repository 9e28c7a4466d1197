package console

import (
	"errors"
	"strings"

	"github.com/posthorn/posthorn/internal/service"
)

// fieldErrors are the mistakes in a form, by field. Under "" are those of no field.
type fieldErrors map[string]string

// wrong returns the mistakes that a use case found in the form's fields. ok is false for every other error.
func wrong(err error, fields ...string) (all fieldErrors, ok bool) {
	refused, is := errors.AsType[*service.Error](err)
	if !is || refused.Code != service.Invalid && refused.Code != service.Conflict && refused.Code != service.Forbidden {
		return nil, false
	}
	all = fieldErrors{}
	for _, f := range refused.Fields {
		name, _, _ := strings.Cut(f.Field, "[")
		known := ""
		for _, field := range fields {
			if field == name {
				known = name
			}
		}
		message := f.Message
		if known == "" {
			message = f.Field + " " + message
		}
		all.add(known, message)
	}
	if len(refused.Fields) == 0 {
		all.add("", refused.Detail)
	}
	return all, true
}

func (f fieldErrors) add(field, message string) {
	if f[field] != "" {
		message = f[field] + "; " + message
	}
	f[field] = message
}
