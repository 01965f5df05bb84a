// Package policy reads BackendTLSPolicies: what one asks of a backend (Read),
// which of several rules a Service port (Bind, For), and its status.
//
// It promises that a policy that is in force for a port is either a validation
// that can be done or a fault: nothing is left out of it in silence. What the
// validation means for a connection is decided in translator/upstream.
package policy
