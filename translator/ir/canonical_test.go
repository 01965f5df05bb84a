package ir

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// words are strings that JSON quotes in different ways.
var words = []string{"", "web", "a.example.com", "h2", `"`, `\`, "<&>", "\x00\x1f\x7f", "ü", "\u2028", "\xff", "two words"}

// fill sets every field of a value by chance: a field that is added to Upstream
// is found by that.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(words[r.IntN(len(words))])
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Int32()) - 1<<30)
	case reflect.Uint32:
		v.SetUint(uint64(r.Uint32()))
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.Pointer:
		if r.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
			for i := range n - 1 {
				fill(r, v.Index(i))
			}
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(r, field)
		}
	default:
		panic("no value for a field of type " + v.Type().String())
	}
}

func TestCanonicalIsThatOfEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var u Upstream
		fill(r, reflect.ValueOf(&u).Elem())
		want, err := json.Marshal(&u)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(u.canonical())); diff != "" {
			t.Fatalf("(-encoding/json, +canonical):\n%s", diff)
		}
	}
}

// BenchmarkName is a part of every change of a host.
func BenchmarkName(b *testing.B) {
	u := Upstream{
		Service: ServicePort{Name: Name{"shop", "web"}, Port: 443}, Protocol: HTTP2,
		TLS: &UpstreamTLS{
			SNI: "web.example.com", ALPN: []string{"h2"}, Profile: TLSProfile{Min: TLS12, Max: TLS13},
			Verify: &Verify{
				Trust: []TrustRef{{Kind: TrustSecret, Name: Name{"shop", "ca"}}},
				Names: []SubjectName{{Kind: DNSName, Value: "web.example.com"}},
			},
			ClientCertificate: &CertificateRef{Name{"shop", "client"}},
		},
	}
	b.ReportAllocs()
	for b.Loop() {
		u.Name()
	}
}
