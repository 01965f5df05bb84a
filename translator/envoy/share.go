package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/translator/ir"
)

const million = 1_000_000

// refusedShare stands before a route and answers the share of the requests that
// belongs to backends that cannot be reached as asked. What it leaves is spread
// evenly over the others.
func refusedShare(r *routev3.Route, f *ir.Forward) *routev3.Route {
	out, ok := proto.Clone(r).(*routev3.Route)
	if !ok { // Clone keeps the type
		return r
	}
	out.Match.RuntimeFraction = &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{
		Numerator:   refusedNumerator(f),
		Denominator: typev3.FractionalPercent_MILLION,
	}}
	out.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: f.RefusedStatus}}
	// A websocket gets this answer too.
	out.Metadata = websocketsAllowed
	return out
}

// refusedNumerator is what is refused of a million requests.
func refusedNumerator(f *ir.Forward) uint32 {
	sum := uint64(f.Refused)
	if sum == 0 {
		return 0
	}
	for i := range f.Backends {
		sum += uint64(f.Backends[i].Weight)
	}
	return uint32(uint64(f.Refused) * million / sum) //nolint:gosec // at most a million
}

// spread changes weights so that each backend gets its share of what is not
// refused. Envoy draws one number for both choices: it refuses by the remainder
// of a million, and chooses by that of the sum of the weights. As far as the two
// have divisors in common the second knows the first, and where few remainders
// are left some backends would get them all. Without common divisors they are
// independent.
func spread(weights []uint32, refused uint32) {
	const even = 1000 // so many rounds make no difference
	var sum uint32
	largest := 0
	for i, w := range weights {
		if sum += w; w > weights[largest] {
			largest = i
		}
	}
	if refused == 0 || len(weights) < 2 || gcd(sum, million)*even <= million-uint64(refused) {
		return
	}
	// Scaled first, so that what is taken away below is a few millionths.
	scale := max(1, million/sum)
	for i := range weights {
		weights[i] *= scale
	}
	for sum *= scale; gcd(sum, million) != 1; sum-- {
		weights[largest]--
	}
}

func gcd(a, b uint32) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return uint64(a)
}
