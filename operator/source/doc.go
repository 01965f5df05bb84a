// Package source says where objects come from: a Source delivers them, a Sink
// takes them. Its sub-packages are the sources.
//
// A source promises typed, validated objects that nobody changes afterwards,
// each Batch one consistent step. It never decides what an object means and
// never writes to where it reads from.
package source
