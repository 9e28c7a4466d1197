package wire

// languageWeaver is Language Weaver Edge (source: the vendor's documentation). Its documents say nothing of what is
// delivered. Chosen: a flat body like that of its neighbours,
//
//	{"event":"translation.created", …the data's members}
//
// signed as Standard Webhooks with the webhook's own secret.
type languageWeaver struct{ standard }

func (languageWeaver) body(_ Webhook, ev Event) ([]byte, error) {
	o := newObject(ev)
	o.string("event", ev.Type)
	o.splice(ev.Data, "event")
	return o.close()
}
