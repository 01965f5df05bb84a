// Package httpproxy translates Contour's HTTPProxy (projectcontour.io/v1) into
// the intermediate representation, in steps that are pure functions:
//
//	Claims    which fleets serve a root, under which host name
//	Translate one object on its own: a Document, whoever includes it
//	Compose   what one host of one fleet serves: a Site
//	Status    the status of one object, from all of these
//
// It promises that what cannot be served as asked fails closed and fails
// small. A route that is wrong answers 503 on the conditions that could be
// read, named in Route.Failure, and its siblings serve; an include that cannot
// be followed answers 502 or 503 on its own conditions, and no shorter route of
// the including object takes its requests. A virtual host that is wrong answers
// 503 on every path, so that no wildcard host takes it over. A mirror that is
// wrong is left out, because its answers are thrown away: the object carries
// the error and the route serves. Nothing is ever served in cleartext, or
// unverified, because its TLS could not be honoured.
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
