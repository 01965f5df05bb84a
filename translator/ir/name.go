package ir

// Name identifies a namespaced object of a kind that the context tells.
type Name struct {
	Namespace string
	Name      string
}

// String returns "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// AppendKey appends the name in an encoding that keeps the order of
// (Namespace, Name) and is unambiguous: object names never hold a NUL.
func (n Name) AppendKey(b []byte) []byte {
	b = append(b, n.Namespace...)
	b = append(b, 0)
	return append(b, n.Name...)
}

// ObjectRef names one API object, for messages and for blame.
type ObjectRef struct {
	// Kind is the API kind, such as "HTTPProxy".
	Kind string
	Name
}

// String returns "Kind namespace/name".
func (r ObjectRef) String() string { return r.Kind + " " + r.Name.String() }

// AppendKey implements the key encoding of translator/graph.
func (r ObjectRef) AppendKey(b []byte) []byte {
	b = append(b, r.Kind...)
	b = append(b, 0)
	return r.Name.AppendKey(b)
}

// ServicePort names one port of one Service: spec.ports[].port, never the
// target port.
type ServicePort struct {
	Name
	Port int32
}
