// Package console makes the pages for people. The console at /console is for the platform's staff and shows every
// tenant. The portal at /portal has the same pages for the people of one tenant. The pages are HTML that is made here,
// and they work without JavaScript.
//
// It maps requests to use cases and answers to pages, and decides nothing that /v1 does not. It must not import api,
// activities, worker, workflows or Temporal. Of the database it may use only the types of models. It reads and acts
// through internal/service.
package console
