// Package listener reads Gateways, with the ListenerSets that add to them:
//
//	ReadClass     one GatewayClass
//	Merge   the sections (listeners) of one Gateway: protocol, port, host, who
//	        may attach, and which of several wins
//	Place   which ports the Gateway gets where several share an address
//	Resolve the certificates and trust bundles that its sections name
//
// and writes their statuses. It promises that a section whose references
// cannot be resolved presents no other section's certificate and never skips
// the validation of clients that was asked for, and that a request belongs to
// exactly one section. It knows no route.
package listener
