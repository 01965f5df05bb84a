package source

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Source delivers objects to a sink until its context ends.
//
// It is level based: a batch says what an object is now, not what happened to
// it. Steps in between may be left out, and an object may be delivered again
// unchanged. A source calls Apply from one goroutine, in order, and runs once.
//
// Run returns nil when ctx ends, and an error only if nothing more can be
// delivered. What is wrong with a single object or file is a Problem.
//
//	err := s.Run(ctx, source.SinkFunc(func(b source.Batch) {
//		for _, o := range b.Changed { ... }
//	}))
type Source interface {
	Run(ctx context.Context, sink Sink) error
}

// Sink takes what a Source delivers.
type Sink interface {
	// Apply takes over one consistent batch. It returns when the batch is
	// recorded, without waiting for what follows from it: a source that is
	// held up here sees nothing new.
	Apply(b Batch)
}

// SinkFunc is a function that is a Sink.
type SinkFunc func(Batch)

// Apply implements Sink.
func (f SinkFunc) Apply(b Batch) { f(b) }

// Batch is one consistent step: all of it is true at the same time.
type Batch struct {
	// Changed are new and changed objects, typed and with their kind set. They
	// are immutable from here on. No object is in Changed and in Deleted.
	Changed []client.Object
	// Deleted are the objects that are gone.
	Deleted []Key
	// Problems is the full list of what is wrong, sorted, when it differs from
	// the list before; nil when it does not; empty when nothing is wrong any
	// more.
	Problems []Problem
	// Complete is set in every batch from the one that completes the first
	// full list on.
	Complete bool
}

// Key names an object.
type Key struct {
	schema.GroupVersionKind

	// Namespace is empty for a kind without namespaces.
	Namespace string
	Name      string
}

// String returns the kind and the name, as `HTTPProxy default/web`.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// KeyOf returns the key of an object whose kind is set.
func KeyOf(o client.Object) Key {
	return Key{GroupVersionKind: o.GetObjectKind().GroupVersionKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
}

// Severity says what a Problem means for the object.
type Severity string

const (
	// Error means: the object is not as it is written; the last good one serves on,
	// if there was one.
	Error Severity = "error"
	// Warning means: the object serves, or is none of ours.
	Warning Severity = "warning"
)

// Problem is one thing that is wrong with what a source reads.
type Problem struct {
	// File is the path of the file, relative to the folder that is read.
	File string
	// Line of the file, from 1: the field's if it is known, else where its
	// document begins; 0 when unknown.
	Line int
	// Object is the object as Key.String gives it; empty when the problem is
	// the file's.
	Object string
	// Field is the path of the field, as `spec.routes[0].services[0].port`;
	// empty when the problem is the whole object's.
	Field    string
	Message  string
	Severity Severity
}

// String returns the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Severity == Warning {
		b.WriteString(": warning")
	}
	for _, part := range []string{p.Object, p.Field, p.Message} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	return b.String()
}
