package workflows

import (
	"fmt"
	"strings"
)

// maxRows bounds the table of deliveries on a workflow's page; the details may have 20,000 bytes.
const maxRows = 40

// table shows a dispatch as Markdown: how many of its deliveries stand how, and those that are being retried. What
// comes of each retry is on the page already, with the activity that makes them.
func (d *dispatch) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d delivered, %d failed, %d stopped, %d being retried", d.result.Delivered, d.result.Failed, d.result.Stopped, len(d.open))
	if d.queued > 0 {
		fmt.Fprintf(&b, ", %d waiting for their first attempt", d.queued)
	}
	b.WriteString("\n")
	if len(d.open) == 0 {
		return b.String()
	}
	b.WriteString("\n| delivery | webhook | to | failed with | now |\n|---|---|---|---|---|\n")
	for i, l := range d.open {
		if i == maxRows {
			fmt.Fprintf(&b, "\nand %d more\n", len(d.open)-maxRows)
			break
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | see Pending Activities |\n", l.Delivery, l.Webhook, cell(l.Host), cell(l.Last))
	}
	return b.String()
}

// cell keeps a text from breaking out of its place in a Markdown table.
func cell(text string) string {
	text = strings.NewReplacer("|", "/", "\n", " ", "\r", " ", "<", "‹", ">", "›", "`", "'").Replace(text)
	if len(text) > 120 {
		text = strings.ToValidUTF8(text[:120], "") + "…"
	}
	return text
}
