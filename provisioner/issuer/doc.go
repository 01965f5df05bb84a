// Package issuer issues the client certificates of fleets where there is no
// cluster to keep them in: the authority and what it has signed are files of one
// folder of the user's.
//
// What is due is decided by provisioner/certificate, by the same functions as in
// a cluster. The package promises that what was issued is stored before anyone
// uses it, that a file is replaced as a whole, that private keys are in files of
// mode 0600 in a folder of mode 0700, and that several processes may share the
// folder. It waits neither for one of them that hangs nor, when its context ends,
// for a key.
//
// A folder that cannot be written is read all the same: what was issued serves
// until its end, and what is wrong is told beside it.
//
// It never writes over what it cannot read, and never shows a private key but in
// the pair that it returns.
package issuer
