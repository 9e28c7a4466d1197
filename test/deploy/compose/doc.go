// Package compose tests the files that start Posthorn without Kubernetes: docker-compose.yml by the library that Compose itself
// reads it with, the two Dockerfiles, and the systemd unit of the packages.
//
// It must not import anything of Posthorn.
package compose
