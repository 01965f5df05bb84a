// Package v1alpha1 is the API of the operator.signetproxy.io group: EnvoyFleet,
// the one custom resource of Signet.
//
// It holds the types, their validation markers and their deep copies, and
// nothing that decides: defaults that depend on where a fleet runs are chosen
// by who reads them. The CRD in operator/api/crds is generated from it by
// operator/api/generate.sh.
//
// +kubebuilder:object:generate=true
// +groupName=operator.signetproxy.io
package v1alpha1
