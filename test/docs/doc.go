// Package docs tests the project's documentation: every link leads somewhere, every package has a comment, and packages
// import only what their comments allow.
package docs
