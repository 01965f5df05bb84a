// Package soak runs Signet under random changes, faults and traffic, records
// all of it, and has test/soak/model judge the record.
//
// A run has two fleets of real Envoys, a control plane in a process of its own
// (test/controlplane), real backends, some of which no manifest ever allows,
// and an open load. Operations of every kind follow one another: hosts, routes,
// services, endpoints, authorities, delegations, certificates, invalid objects
// of many kinds, rotations of everything that rotates, the control plane
// killed, Envoys killed, added and ended. A client with the identity of each
// fleet asks for the other's names all the while.
//
// It promises that the sequence of operations depends on the seed alone: how
// many of them a run makes is a matter of time, but a longer run begins with
// the shorter one's. Keys and serial numbers are drawn anew by each run.
//
// It decides nothing about right and wrong: that is the model's.
package soak
