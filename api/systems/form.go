package systems

import (
	"bytes"
	"io"
	"maps"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
)

// readForm reads the parameters of a query or a form. Only lists may be repeated; "events[]" and "events[0]" mean
// "events".
//
// skipEmpty: a parameter without a value counts as absent, as an empty filter does.
func (q *Request) readForm(values url.Values, fields []Field, skipEmpty bool) {
	byField := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(fields, func(f Field) bool {
			return f.called(name) || f.list() && f.called(withoutIndex(name))
		})
		if i < 0 {
			q.Problemf(clip(name), "is not known")
			continue
		}
		byField[fields[i].Name] = append(byField[fields[i].Name], values[name]...)
	}
	for i := range fields {
		given := byField[fields[i].Name]
		if skipEmpty && len(given) < 2 || fields[i].list() {
			given = slices.DeleteFunc(given, func(text string) bool { return text == "" && skipEmpty })
		}
		if len(given) > 0 {
			q.formField(given, &fields[i])
		}
	}
}

// withoutIndex removes the brackets from "events[]" and "events[12]".
func withoutIndex(name string) string {
	base, rest, ok := strings.Cut(name, "[")
	digits, closed := strings.CutSuffix(rest, "]")
	if !ok || !closed || strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return base
}

func (q *Request) formField(given []string, f *Field) {
	if f.list() {
		q.formNames(given, f)
		return
	}
	if len(given) > 1 {
		q.Problemf(f.Name, "is given twice")
		return
	}
	var v any
	var ok bool
	switch f.Kind {
	case Flag, Switch:
		v, ok = switches[strings.ToLower(strings.TrimSpace(given[0]))]
		if !ok {
			q.Problemf(f.Name, "must be a boolean")
		}
	case Number:
		v, ok = q.number(given[0], f.Name, f)
	default:
		v, ok = q.text(f.Name, f, given[0])
	}
	if ok {
		q.put(q.In, f.Name, f, v)
	}
}

func (q *Request) formNames(given []string, f *Field) {
	names := []string{}
	for _, text := range given {
		text, ok := q.text(f.Name, f, text)
		switch {
		case !ok:
			return
		case f.Kind == JoinedNames:
			names = append(names, split(text)...)
		case text != "":
			names = append(names, text)
		}
	}
	q.put(q.In, f.Name, f, names)
}

// readMultipart reads a multipart form.
func (q *Request) readMultipart(body []byte, boundary string) {
	if boundary == "" || !bytes.Contains(body, []byte("--"+boundary+"--")) {
		q.Problemf("body", "must be a complete multipart form, with the boundary in its Content-Type")
		return
	}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	values := url.Values{}
	for {
		part, err := reader.NextPart()
		if err == io.EOF { //nolint:errorlint // a wrapped EOF means that the body ended inside the form
			break
		}
		if err != nil {
			q.Problemf("body", "must be a complete multipart form")
			return
		}
		text, err := io.ReadAll(part) // the body is bounded
		if err != nil {
			q.Problemf("body", "must be a complete multipart form")
			return
		}
		if part.FileName() != "" {
			q.Problemf(clip(part.FormName()), "must not be a file")
			continue
		}
		values.Add(part.FormName(), string(text))
	}
	q.readForm(values, q.operation.Fields, false)
}
