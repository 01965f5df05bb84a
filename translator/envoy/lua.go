package envoy

import (
	_ "embed" // the scripts

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	lowercaseFilter = "signet.lowercase"
	fallbackFilter  = "signet.fallback"
)

var (
	//go:embed lua/lowercase.lua
	lowercaseScript string
	//go:embed lua/fallback.lua
	fallbackScript string
	//go:embed lua/fallback_tls.lua
	fallbackTLSScript string

	lowercase   = luaFilter(lowercaseFilter, lowercaseScript)
	fallback    = luaFilter(fallbackFilter, fallbackScript)
	fallbackTLS = luaFilter(fallbackFilter, fallbackTLSScript)
)

func luaFilter(name, script string) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: constant(&luav3.Lua{
		DefaultSourceCode: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: script}},
		// The scripts clear it themselves, and only when they changed the scope.
		ClearRouteCache: wrapperspb.Bool(false),
	})}}
}
