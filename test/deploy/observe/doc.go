// Package observe tests dashboards and alerts: each query against the metrics that Posthorn exports, each alert against its
// runbook. `make check-deploy` has promtool run the alerts' own tests.
//
// It must not import anything of Posthorn.
package observe
