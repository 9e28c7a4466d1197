// Package docs holds tests of what the project says about itself: links of the documentation lead somewhere, every package has
// a comment, and packages import what their comments allow.
package docs
