// Package reference writes the reference of a custom resource for people, from
// nothing but its CustomResourceDefinition: every field with its type, default,
// limits, rules and description.
//
// It promises that no field is left out, but for what is inside of types of
// Kubernetes: those are named, and described by Kubernetes. It never describes
// anything in words of its own, so that there is one place to mend: the comment
// of the Go type.
package reference
