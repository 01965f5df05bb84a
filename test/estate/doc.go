// Package estate is a `signet standalone` with a folder of many hosts: where
// measurements of changes under traffic take place.
//
// A Site is any running Signet with a folder: it is written to as an editor
// does, by rename, and asked over HTTP and HTTPS. An Estate is a Site of n hosts,
// half of them HTTPS, each with a Service, EndpointSlice and HTTPProxy of its
// own and a TLS upstream with validation, served by the signet binary as a
// process of its own. Many hosts are made ready in bulk.
//
// It measures the processes' memory and time from outside, and leaves neither
// process nor folder behind.
package estate
