// Package chroot builds what the Dockerfile builds, without a container engine: an image in an OCI layout, from which it runs the
// program as the image's user, with nothing of this machine in sight. It needs root, for chroot: `make check-image`.
//
// It must not import anything of Posthorn.
package chroot
