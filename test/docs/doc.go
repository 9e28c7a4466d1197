// Package docs holds tests of the documentation: its links lead somewhere.
package docs
