// Package bench measures a running Posthorn from outside: a load generator, a receiver that records what arrives and
// when, and the figures of the processes and the database in between.
//
// It knows Posthorn only by its API, its metrics and its database's statistics, and must not import any package of
// Posthorn: what it measures is what a stranger would see. Generator and receiver share the machine with what they
// measure, so both speak HTTP/1.1 by hand over kept connections, from bytes prepared beforehand, and record into
// arrays laid out beforehand. The receiver listens on the loopback interface.
package bench
