package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// printer writes output for people: tables, and the fields of one thing. It removes control characters from texts of
// others, because a terminal would obey them.
type printer struct {
	bytes.Buffer

	table *tabwriter.Writer
}

// cell returns a value as a table shows it: "-" for none.
func cell(value any) string {
	text := ""
	switch v := value.(type) {
	case *string:
		if v != nil {
			text = *v
		}
	case time.Time:
		text = moment(v)
	case *time.Time:
		if v != nil {
			text = moment(*v)
		}
	case *int64:
		if v != nil {
			text = fmt.Sprint(*v)
		}
	case *float64:
		if v != nil {
			text = fmt.Sprint(*v)
		}
	case []string:
		text = strings.Join(v, ", ")
	default:
		text = fmt.Sprint(v)
	}
	if text = harmless(text); text == "" {
		return "-"
	}
	return text
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// harmless returns a text on one line, without control characters.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return unicode.ReplacementChar
		}
	}, text)
}

// line prints a line as it is.
func (p *printer) line(text string) {
	p.flush()
	p.WriteString(harmless(text) + "\n")
}

func (p *printer) header(names ...string) {
	p.flush()
	p.table = tabwriter.NewWriter(&p.Buffer, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(p.table, strings.ToUpper(strings.Join(names, "\t")))
}

// row prints a line of the table that header has begun.
func (p *printer) row(values ...any) {
	cells := make([]string, len(values))
	for i, value := range values {
		cells[i] = cell(value)
	}
	_, _ = fmt.Fprintln(p.table, strings.Join(cells, "\t"))
}

// fields prints names and values. It leaves out names without a value.
func (p *printer) fields(namesAndValues ...any) {
	p.flush()
	p.table = tabwriter.NewWriter(&p.Buffer, 0, 0, 2, ' ', 0)
	for pair := range slices.Chunk(namesAndValues, 2) {
		if text := cell(pair[1]); text != "-" {
			_, _ = fmt.Fprintf(p.table, "%v\t%s\n", pair[0], text)
		}
	}
	p.flush()
}

// json prints a JSON text, indented.
func (p *printer) json(name string, text json.RawMessage) {
	if len(text) == 0 || string(text) == "null" {
		return
	}
	p.line(name)
	var pretty bytes.Buffer
	if json.Indent(&pretty, text, "  ", "  ") != nil {
		return
	}
	for line := range strings.Lines("  " + pretty.String()) {
		p.WriteString(harmless(strings.TrimRight(line, "\n")) + "\n")
	}
}

// flush ends a table.
func (p *printer) flush() {
	if p.table != nil {
		_ = p.table.Flush()
		p.table = nil
	}
}

// Bytes returns everything that was printed.
func (p *printer) Bytes() []byte {
	p.flush()
	return p.Buffer.Bytes()
}
