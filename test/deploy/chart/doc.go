// Package chart tests the Helm chart: what it makes of several values files, against the schemas of Kubernetes' kinds. It
// needs the program helm: `make check-deploy` builds it.
//
// It must not import anything of Posthorn.
package chart
