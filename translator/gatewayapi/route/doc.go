// Package route reads the routes of the Gateway API, in steps that are pure
// functions:
//
//	Read     one route on its own: a Document, whatever it attaches to
//	Attach   which listeners of which Gateways take it, under which hosts
//	Compose  what one host of one listener serves: a site of the IR
//	Status   the status of one route, from the first two
//
// It promises that a rule that is not supported, or of which nothing can be
// reached as asked, answers 500 in its place, and that a backend that cannot be
// reached as asked gets its share of the requests answered with 500: never
// another backend, never plaintext in the place of TLS. A mirror that cannot be
// honoured is left out, because its answers are thrown away, and named in the
// status. A rule whose authorization server cannot be asked as the rule says lets
// nobody through: it answers 500.
package route
