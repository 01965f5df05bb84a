// Package controller holds what runs on the leader to bring a cluster to what
// EnvoyFleets and Gateways ask for: the authorities and what they sign
// ([Authorities]), the objects of each fleet ([Fleets], [Gateways]), and the
// finalizer of GatewayClasses ([Classes]).
//
// Each reconciliation reads, decides in pure functions (provisioner/certificate,
// provisioner/kubernetes) and applies. What became of a fleet is handed on as an
// [Outcome]; statuses are written by operator/status alone.
package controller
