package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/posthorn/posthorn/internal/rawjson"
)

// object writes a JSON object member by member and can include the members of another without decoding them: a posted
// 1.0, 1e400 or "\u00e9" arrives as exactly that.
type object struct {
	buf []byte
	err error
}

// envelopeRoom is a generous size for a profile's envelope, so that a body takes one allocation.
const envelopeRoom = 256

func newObject(ev Event) *object {
	return &object{buf: append(make([]byte, 0, len(ev.Data)+envelopeRoom), '{')}
}

// close ends the object and returns its bytes, or the first error.
func (o *object) close() ([]byte, error) {
	if o.err != nil {
		return nil, o.err
	}
	return append(o.buf, '}'), nil
}

func (o *object) separate() {
	if len(o.buf) > 1 {
		o.buf = append(o.buf, ',')
	}
}

func (o *object) name(name string) {
	o.separate()
	o.buf = append(appendString(o.buf, name), ':')
}

func (o *object) string(name, value string) {
	o.name(name)
	o.buf = appendString(o.buf, value)
}

func (o *object) null(name string) {
	o.name(name)
	o.buf = append(o.buf, "null"...)
}

// seconds writes a time in whole seconds since the epoch.
func (o *object) seconds(name string, t time.Time) {
	o.name(name)
	o.buf = strconv.AppendInt(o.buf, t.Unix(), 10)
}

// time writes a time in RFC 3339, in UTC and with exactly three decimals, so that equal instants are equal bytes.
func (o *object) time(name string, t time.Time) {
	o.name(name)
	o.buf = t.UTC().AppendFormat(o.buf, `"2006-01-02T15:04:05.000Z"`)
}

// raw writes a JSON value unchanged, without the white space around it.
func (o *object) raw(name string, value []byte) {
	value = rawjson.Trim(value)
	if len(value) == 0 {
		o.fail()
		return
	}
	o.name(name)
	o.buf = append(o.buf, value...)
}

// splice writes the members of a JSON object in their posted order and bytes, including repeated names, except those
// with a reserved name: there receivers must see the envelope's own member. Data that is not an object has no members
// and becomes a member named "data" itself.
func (o *object) splice(data []byte, reserved ...string) {
	data = rawjson.Trim(data)
	if len(data) == 0 || data[0] != '{' {
		o.raw("data", data)
		return
	}
	for name, pair := range rawjson.Members(data) {
		switch {
		case pair == nil:
			o.fail()
			return
		case !slices.Contains(reserved, rawjson.Name(name)):
			o.separate()
			o.buf = append(o.buf, pair...)
		}
	}
}

func (o *object) fail() {
	if o.err == nil {
		o.err = ErrMalformedData
	}
}

// appendString appends a JSON string. Unlike json.Marshal it does not escape <, > and &: bodies are not HTML.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return appendUnusualString(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendUnusualString(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) //nolint:errchkjson // a string always encodes, and a Buffer always takes it
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
