package ir

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// canonical is JSON as encoding/json writes the upstream: field names separate
// the values and every string is quoted, so no two upstreams have the same
// bytes. It is written by hand because every change of a host needs it several
// times; a test holds it against encoding/json.
func (u *Upstream) canonical() []byte {
	b := make(canonical, 0, 1024)
	b = b.key('{', "Service").servicePort(u.Service)
	b = b.key(',', "ExternalName").text(u.ExternalName)
	b = b.key(',', "HealthPort").int(int64(u.HealthPort))
	b = b.key(',', "Protocol").text(string(u.Protocol))
	b = b.key(',', "TLS").tls(u.TLS)
	b = b.key(',', "LoadBalancer").key('{', "Policy").text(string(u.LoadBalancer.Policy)).end('}')
	b = b.key(',', "HealthCheck").rare(u.HealthCheck)
	b = b.key(',', "ConnectTimeout").int(int64(u.ConnectTimeout))
	b = b.key(',', "IdleTimeout").duration(u.IdleTimeout)
	b = b.key(',', "SlowStart").rare(u.SlowStart)
	b = b.key(',', "CircuitBreakers").circuitBreakers(&u.CircuitBreakers)
	return b.end('}')
}

// canonical is JSON in the making.
type canonical []byte

// key begins a member of an object: the first behind '{', others behind ','.
func (b canonical) key(before byte, name string) canonical {
	b = append(b, before, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func (b canonical) end(c byte) canonical { return append(b, c) }

func (b canonical) null() canonical { return append(b, "null"...) }

func (b canonical) int(n int64) canonical { return strconv.AppendInt(b, n, 10) }

// text quotes a string; one that needs escapes is left to encoding/json.
func (b canonical) text(s string) canonical {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return b.rare(s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// rare leaves a value to encoding/json.
func (b canonical) rare(v any) canonical {
	text, err := json.Marshal(v)
	if err != nil { // only unsupported types fail, and there are none
		panic(fmt.Sprintf("ir: encoding a part of an upstream: %v", err))
	}
	return append(b, text...)
}

func (b canonical) texts(all []string) canonical {
	if all == nil {
		return b.null()
	}
	b = append(b, '[')
	for i, s := range all {
		b = b.comma(i).text(s)
	}
	return b.end(']')
}

// comma comes before every item of a list but the first.
func (b canonical) comma(i int) canonical {
	if i == 0 {
		return b
	}
	return append(b, ',')
}

func (b canonical) duration(d *time.Duration) canonical {
	if d == nil {
		return b.null()
	}
	return b.int(int64(*d))
}

// name writes the two members of a name, which an embedding struct shares.
func (b canonical) name(before byte, n Name) canonical {
	return b.key(before, "Namespace").text(n.Namespace).key(',', "Name").text(n.Name)
}

func (b canonical) servicePort(p ServicePort) canonical {
	return b.name('{', p.Name).key(',', "Port").int(int64(p.Port)).end('}')
}

func (b canonical) tls(t *UpstreamTLS) canonical {
	if t == nil {
		return b.null()
	}
	b = b.key('{', "SNI").text(t.SNI)
	b = b.key(',', "Verify").verify(t.Verify)
	b = b.key(',', "ClientCertificate").certificate(t.ClientCertificate)
	b = b.key(',', "ALPN").texts(t.ALPN)
	b = b.key(',', "Profile").key('{', "Min").text(string(t.Profile.Min)).key(',', "Max").text(string(t.Profile.Max))
	b = b.key(',', "Ciphers").texts(t.Profile.Ciphers).key(',', "Curves").texts(t.Profile.Curves).end('}')
	return b.end('}')
}

func (b canonical) certificate(c *CertificateRef) canonical {
	if c == nil {
		return b.null()
	}
	return b.name('{', c.Name).end('}')
}

func (b canonical) verify(v *Verify) canonical {
	if v == nil {
		return b.null()
	}
	b = b.key('{', "Trust")
	if v.Trust == nil {
		b = b.null()
	} else {
		b = append(b, '[')
		for i, t := range v.Trust {
			b = b.comma(i).key('{', "Kind").text(string(t.Kind)).name(',', t.Name).end('}')
		}
		b = b.end(']')
	}
	b = b.key(',', "Names")
	if v.Names == nil {
		return b.null().end('}')
	}
	b = append(b, '[')
	for i, n := range v.Names {
		b = b.comma(i).key('{', "Kind").text(string(n.Kind)).key(',', "Value").text(n.Value).end('}')
	}
	return b.end(']').end('}')
}

func (b canonical) circuitBreakers(c *CircuitBreakers) canonical {
	b = b.key('{', "MaxConnections").int(int64(c.MaxConnections))
	b = b.key(',', "MaxPendingRequests").int(int64(c.MaxPendingRequests))
	b = b.key(',', "MaxRequests").int(int64(c.MaxRequests))
	b = b.key(',', "MaxRetries").int(int64(c.MaxRetries))
	return b.key(',', "PerHostMaxConnections").int(int64(c.PerHostMaxConnections)).end('}')
}
