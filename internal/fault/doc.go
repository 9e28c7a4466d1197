// Package fault supports tests of failures. It marks the steps between accepting an event and recording its delivery
// at which a process may die, and lets a test step the clock of one process.
//
// In an ordinary build a Point does nothing and Now is time.Now. In a build with the tag "faults" a Point can kill the
// process, so that the tests of test/crash can stop it at each step, and the clock follows a file that `posthorn
// chaos` writes.
package fault
