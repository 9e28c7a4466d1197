// Package bench measures a running Posthorn from outside. It has a load generator, a receiver that records each arrival
// and its time, and the figures of the processes and the database in between.
//
// It uses only Posthorn's API, its metrics and its database's statistics, and must not import any package of Posthorn,
// so that it measures what a stranger would see. Generator and receiver share the machine with the measured processes.
// Both therefore speak HTTP/1.1 by hand over kept connections, from prepared bytes, and record into prepared arrays.
// The receiver listens on the loopback interface.
package bench
