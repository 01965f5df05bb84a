package envoy

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signetproxy/signet/translator/ir"
)

const corsFilter = "envoy.filters.http.cors"

// cors does nothing on routes without a policy.
var cors = &hcmv3.HttpFilter{
	Name:       corsFilter,
	ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: constant(&corsv3.Cors{})},
}

// corsPolicy answers preflights from Envoy. A foreign origin gets the backend's
// answer without CORS headers, which a browser refuses.
func corsPolicy(c *ir.CORS) (*anypb.Any, error) {
	out := &corsv3.CorsPolicy{
		AllowMethods:  strings.Join(c.Methods, ","),
		AllowHeaders:  strings.Join(c.Headers, ","),
		ExposeHeaders: strings.Join(c.Expose, ","),
		MaxAge:        strconv.FormatInt(int64(c.MaxAge/time.Second), 10),
		// A preflight of a foreign origin must not reach the backend.
		ForwardNotMatchingPreflights: wrapperspb.Bool(false),
	}
	if c.Credentials {
		out.AllowCredentials = wrapperspb.Bool(true)
	}
	for _, list := range [][]string{c.Methods, c.Headers, c.Expose} {
		for _, name := range list {
			if !headerName.MatchString(name) {
				return nil, refuse("name", "%q is neither a method nor a header name", name)
			}
		}
	}
	for _, o := range c.Origins {
		m, err := originMatch(o)
		if err != nil {
			return nil, in("origin", err)
		}
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, m)
	}
	return pack(out)
}

// originMatch compares an origin: "*" in front of a host stands for one or more
// labels, alone for any origin.
func originMatch(origin string) (*matcherv3.StringMatcher, error) {
	if !strings.Contains(origin, "*") {
		return exactly(origin), nil
	}
	parts := strings.Split(origin, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	pattern := strings.Join(parts, ".+")
	if _, err := checkRegex(pattern); err != nil {
		return nil, err
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}}}, nil
}
