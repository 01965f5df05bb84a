// Package validate asks a real Envoy whether it takes what the translator
// makes: all resources of any number of translations go into one static
// bootstrap, on which `envoy --mode validate` is run.
//
// Nothing is left out on the way. Every cluster, with its endpoints and the
// secrets that it names, every secret by itself, every filter chain, and every
// scope with its routes is built by Envoy; a route to a cluster that is not
// there is refused. What differs from the served form is only how a resource
// is found: by name within the bootstrap where Envoy else asks the xDS server.
// It opens no socket, and nothing is served.
package validate
