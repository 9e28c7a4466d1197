// Package fault marks the steps between accepting an event and recording its delivery at which a process may die.
// In an ordinary build a Point is nothing; in one with the build tag "faults" it can kill the process, so that the
// tests of test/crash can stop it at each step and see that nothing is lost.
package fault
