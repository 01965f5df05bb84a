package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Type is the type URL of an xDS resource.
type Type string

// Types of resource, by their xDS type URLs.
const (
	ClusterType  Type = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType Type = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType   Type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	ListenerType Type = "type.googleapis.com/envoy.config.listener.v3.Listener"
	ScopeType    Type = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
)

// Resource is one Envoy resource, marshalled once. It is immutable and shared
// by every stream that carries it.
type Resource struct {
	Type Type
	Name string
	// Version is the hex form of the first 128 bits of the SHA-256 of Body: it
	// is the same on every replica and survives restarts.
	Version string
	// Body is the deterministically marshalled message: the value of the Any.
	Body []byte
	// Probe says that the resource serves nobody: only what Envoy says of it
	// matters.
	Probe bool
}

// Equal reports whether two resources are the same to Envoy.
func (r *Resource) Equal(o *Resource) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.Type == o.Type && r.Name == o.Name && r.Version == o.Version
}

// String names the resource. It never shows the body, which may hold a private
// key.
func (r *Resource) String() string {
	if r == nil {
		return "no resource"
	}
	return string(r.Type) + " " + r.Name + " " + r.Version
}

// GoString is String: %#v must not show a private key either.
func (r *Resource) GoString() string { return r.String() }

// Message decodes the body.
func (r *Resource) Message() (proto.Message, error) {
	var m proto.Message
	switch r.Type {
	case ClusterType:
		m = &clusterv3.Cluster{}
	case EndpointType:
		m = &endpointv3.ClusterLoadAssignment{}
	case SecretType:
		m = &tlsv3.Secret{}
	case ListenerType:
		m = &listenerv3.Listener{}
	case ScopeType:
		m = &routev3.ScopedRouteConfiguration{}
	case ChainType:
		m = &listenerv3.FilterChain{}
	case DatagramType:
		m = &listenerv3.ListenerFilter{}
	case HostType:
		m = &routev3.VirtualHost{}
	default:
		return nil, fmt.Errorf("envoy resource %q: type %q is not one of this package", r.Name, r.Type)
	}
	if err := proto.Unmarshal(r.Body, m); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", r, err)
	}
	return m, nil
}

// ErrRefused is wrapped by every error that says that Envoy would refuse a
// resource. The error's text names the resource and its field.
var ErrRefused = errors.New("refused by Envoy's rules")

// refusal is an ErrRefused that reads like one sentence.
type refusal struct {
	at    string
	cause error
}

func refuse(at, format string, args ...any) error {
	return &refusal{at: at, cause: fmt.Errorf(format, args...)}
}

// Error implements error.
func (e *refusal) Error() string { return e.at + ": " + e.cause.Error() }

// Unwrap returns what the refusal is and why.
func (e *refusal) Unwrap() []error { return []error{ErrRefused, e.cause} }

// in puts the name of the thing that holds the refused field before it.
func in(at string, err error) error {
	if err == nil {
		return nil
	}
	return &refusal{at: at, cause: err}
}

type message interface {
	proto.Message
	ValidateAll() error
}

var deterministic = proto.MarshalOptions{Deterministic: true}

// seal validates and marshals a resource.
func seal(t Type, name string, m message) (*Resource, error) {
	if name == "" {
		return nil, refuse(string(t), "the name is empty")
	}
	if err := m.ValidateAll(); err != nil {
		return nil, in(name, err)
	}
	body, err := deterministic.Marshal(m)
	if err != nil {
		return nil, in(name, err)
	}
	return newResource(t, name, body), nil
}

func newResource(t Type, name string, body []byte) *Resource {
	sum := sha256.Sum256(body)
	return &Resource{Type: t, Name: name, Version: hex.EncodeToString(sum[:16]), Body: body}
}

// pack validates an extension and puts it in an Any.
func pack(m message) (*anypb.Any, error) {
	if err := m.ValidateAll(); err != nil {
		return nil, fmt.Errorf("%s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	body, err := deterministic.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: body}, nil
}

// constant packs an extension that is the same for everyone, at start-up.
func constant(m message) *anypb.Any {
	a, err := pack(m)
	if err != nil {
		panic(fmt.Sprintf("envoy: constant extension: %v", err))
	}
	return a
}

// RenamedSecret is the secret with the same content under another name: the
// certificate of a wildcard host for an SNI that it covers. The body is not
// decoded: a later value of a field supersedes an earlier one.
func RenamedSecret(r *Resource, name string) *Resource {
	body := make([]byte, 0, len(r.Body)+len(name)+4)
	body = append(body, r.Body...)
	body = protowire.AppendTag(body, 1, protowire.BytesType)
	body = protowire.AppendString(body, name)
	return newResource(r.Type, name, body)
}
