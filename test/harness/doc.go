// Package harness runs Posthorn as its users do: the real programs, built once, as processes on free ports, spoken to
// over HTTP, with receivers that remember what arrives. It knows Posthorn's outside contract only.
//
// It is for test/e2e, test/crash and test/rolling, runs on Unix only, and must not import any other package of this module.
package harness
