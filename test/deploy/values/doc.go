// Package values tests the values of the Helm chart, and their schema, against Posthorn's settings. It needs no program, so
// `make test` runs it.
//
// It must not import anything of Posthorn.
package values
