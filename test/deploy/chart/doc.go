// Package chart tests the Helm chart: what it makes of several values files, against the schemas of Kubernetes' kinds and
// against Posthorn's settings. It needs the program helm: `make check-deploy` builds it.
//
// It must not import anything of Posthorn.
package chart
