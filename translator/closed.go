package translator

import (
	"regexp"

	"github.com/signetproxy/signet/translator/ir"
)

// everything is the match of all requests of a host.
var everything = ir.Match{PathKind: ir.PathPrefix, Path: "/"}

// plain is a match without expressions, which are what Envoy may refuse of one.
// It holds wherever m does, and elsewhere only as far as an expression had kept
// it from that.
func plain(m *ir.Match) ir.Match {
	out := ir.Match{PathKind: m.PathKind, Path: m.Path, Method: m.Method, Headers: exactValues(m.Headers), Query: exactValues(m.Query)}
	if m.PathKind == ir.PathRegex {
		out.PathKind, out.Path = ir.PathPrefix, beginning(m.Path)
	}
	return out
}

// beginning is what all paths begin with that an expression matches.
func beginning(expr string) string {
	re, err := regexp.Compile(expr)
	if err != nil {
		return everything.Path
	}
	prefix, _ := re.LiteralPrefix()
	if prefix == "" || prefix[0] != '/' {
		return everything.Path
	}
	return prefix
}

func exactValues(in []ir.ValueMatch) []ir.ValueMatch {
	var out []ir.ValueMatch
	for i := range in {
		if in[i].Kind != ir.ValueRegex {
			out = append(out, in[i])
		}
	}
	return out
}
