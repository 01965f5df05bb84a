package controlplane

import (
	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/upstream"
)

// Config is what the process is given, as JSON in a file.
type Config struct {
	// Manifests is the folder that is served.
	Manifests string
	// XDSAddress is where Envoys find it, "127.0.0.1:port", after each restart.
	XDSAddress string
	// Identities is the folder of [Identities].
	Identities string
	// Socket is the path of the unix socket that answers [Process.Ask].
	Socket string
	// Fleets are served; an EnvoyFleet in the folder shapes the first.
	Fleets []Fleet
	// Marker is the ConfigMap whose key "at" a Sample shows: written last, it
	// tells that what was written before it is in a revision.
	Marker ir.Name
	// Refused, when not empty, is a text that makes Envoy refuse whatever cluster,
	// host of a route configuration or filter chain of a host holds it.
	Refused string
	// Verbose logs at level 1.
	Verbose bool
}

// Fleet is a fleet of fixed ports on 127.0.0.1.
type Fleet struct {
	Name                ir.Name
	HTTPPort, HTTPSPort int
	// RootNamespaces are where its root HTTPProxies live.
	RootNamespaces []string
	// ClientCertificate is the Secret that it presents to backends; the zero
	// name presents none.
	ClientCertificate ir.Name
}

func (f *Fleet) spec() translator.FleetSpec {
	spec := standalone.FleetSpec("127.0.0.1", f.HTTPPort, f.HTTPSPort)
	spec.Name = f.Name
	spec.Selector = httpproxy.Selector{Fleet: f.Name, RootNamespaces: f.RootNamespaces}
	if f.ClientCertificate != (ir.Name{}) {
		spec.Upstream = upstream.FleetSettings{ClientCertificate: &f.ClientCertificate}
	}
	return spec
}

// Sample is what the process says of itself at one moment.
type Sample struct {
	PID int
	// Marker is the marker's content, and MarkerRevision the first revision that
	// holds it.
	Marker         string
	MarkerRevision uint64
	// Committed is the newest revision.
	Committed uint64
	XDS       xds.State
	// HeapBytes and Goroutines are those after a collection of garbage, when one
	// was asked for.
	HeapBytes  uint64
	Goroutines int
}

// Acknowledged tells whether an Envoy has acknowledged the revision that holds
// the marker, with nothing on its way.
func (s *Sample) Acknowledged(node string) bool {
	st := s.Stream(node)
	return st != nil && s.MarkerRevision > 0 && st.Acknowledged >= s.MarkerRevision && st.Lingering == 0
}

// Stream returns the newest stream of an Envoy, nil without one.
func (s *Sample) Stream(node string) *xds.StreamState {
	var out *xds.StreamState
	for i := range s.XDS.Fleets {
		for j := range s.XDS.Fleets[i].Streams {
			if st := &s.XDS.Fleets[i].Streams[j]; st.Node == node && (out == nil || st.Since.After(out.Since)) {
				out = st
			}
		}
	}
	return out
}
