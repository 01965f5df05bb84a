// Package gateways is a Gateway whose routes, policies and certificates change
// under load: the kinds of change, and what each answer may show meanwhile.
//
// Every backend speaks TLS alone. A Stage starts them and gives the manifests;
// Run makes changes of one Kind, one after the other, beside a load at a fixed
// rate, and judges every answer: which backend gave it, over which TLS, by
// which version of the route, and with which certificate of the listener. An
// answer may show a state only from when it was written until the next one has
// been seen; any other is unexpected, and so is a lost request.
//
// It measures how long a change takes to the first answer that shows it, from the
// rename of its file, or from the API server's answer: its Manifests say where
// they are. It starts no Signet: whoever uses it has one that reads them.
package gateways
