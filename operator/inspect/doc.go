// Package inspect asks the operators of a cluster what they serve, for people.
//
// It promises that every replica that is there is asked, through a port-forward
// of the API server, with the rights of whoever asks: to list pods, and to create
// pods/portforward, in Signet's namespace. It never writes anything, and needs no
// port of an operator to be reachable from outside its pod.
package inspect
