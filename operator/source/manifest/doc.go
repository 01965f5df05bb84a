// Package manifest reads the text of Kubernetes manifests: YAML or JSON,
// several documents, lists, into typed objects as an API server would keep
// them.
//
// It promises that an Object with a Value is valid: fields that its kind does
// not have, wrong types, names, and everything that its CRD's schema and CEL
// rules forbid are refused, in the API server's words; defaults are set; a
// Secret's stringData is merged. Decoding depends on the text alone. What is
// refused is named with line, object and field; no message holds a Secret's
// content. What is refused and would leave something unprotected has a closed
// form, which asks for what nobody can do. What a CRD's schema surely allows is
// accepted without its validator, which has the word on everything else.
//
// It opens no files, remembers nothing, and does not know what objects mean.
// A new kind is one line in the table of kind.go.
package manifest
