// Package httpproxy translates Contour's HTTPProxy (projectcontour.io/v1) into
// the intermediate representation, in steps that are pure functions:
//
//	Claims    which fleets serve a root, under which host name
//	Translate one object on its own: a Document, whoever includes it
//	Compose   what one host of one fleet serves: a Site
//	Status    the status of one object, from all of these
//
// It promises that what cannot be served as asked fails closed and fails
// small, and is named in the status:
//   - A route that is wrong answers 503 on the conditions that could be read,
//     behind good routes of the same precedence, and its siblings serve. So does
//     a route of which one backend cannot be reached as asked; a Service that
//     does not exist is passed over, as in Contour, while others are left.
//   - An include that cannot be followed answers on its own conditions, 502
//     when it is missing or a root and has conditions, else 503; no shorter
//     route of the including object takes its requests.
//   - A virtual host that is wrong, or that two objects want, answers 503 on
//     every path, so that no wildcard host takes it over. One whose certificate
//     is broken does so over TLS, and keeps its 301 in plaintext.
//   - A TCP proxy that is wrong refuses connections.
//   - A mirror that is wrong is left out, because its answers are thrown away:
//     the object carries the error and the route serves.
//
// Nothing is ever served in cleartext, or unverified, because its TLS could not
// be honoured.
//
// A field that has no effect is a warning (SpecError, IgnoredField) with its
// path, or an error that fails closed where leaving it out would weaken
// security: see the table in unsupported.go.
//
// It differs from Contour in that (where Contour drops an object, or serves
// something else in silence):
//   - several routes with one and the same match: the last one wins, as in
//     Contour, and the others get a warning;
//   - a header condition without, or with more than one, operator is an error;
//   - replacePrefix joins paths with one slash, also for the prefix "/";
//   - retryPolicy.count -1 never retries.
//
// The package never reads anything but what upstream.Objects and Documents give
// it, never changes what it is given, and never decides how a backend is
// reached: that is translator/upstream.
package httpproxy
