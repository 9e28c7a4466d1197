// Package console is the pages that people see: the console at /console, for the platform's staff and every tenant, and the portal
// at /portal, the same pages for the people of one tenant. They are HTML made here, and work without JavaScript.
//
// It maps requests to use cases and answers to pages, and decides nothing that /v1 does not. It must not import api, activities,
// worker, workflows, Temporal or anything of the database but the models' types: it reads and acts through internal/service.
package console
