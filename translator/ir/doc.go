// Package ir is the intermediate representation that every front end
// translates into and that translator/envoy turns into Envoy resources. It
// knows neither Kubernetes nor Envoy types and imports nothing of the project.
//
// Values are immutable once they have left the function that made them: they
// are shared by many units and many goroutines. Equality is structural, so a
// slice is either nil or ordered by a rule that its field states.
//
// The package never decides anything: which TLS an upstream gets is decided in
// translator/upstream, which routes a host has in a front end.
package ir
