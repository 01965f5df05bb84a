package translator

import (
	"k8s.io/apimachinery/pkg/util/sets"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/features"
)

// SupportedFeatures are the features of the Gateway API that Signet claims,
// sorted by name. docs/gateway-api.md says why the others are not claimed.
func SupportedFeatures() []gatewayv1.SupportedFeature {
	out := make([]gatewayv1.SupportedFeature, 0, len(claimed))
	for _, f := range sets.List(sets.New(claimed...)) {
		out = append(out, gatewayv1.SupportedFeature{Name: gatewayv1.FeatureName(f)})
	}
	return out
}

var claimed = []features.FeatureName{
	features.SupportGateway, features.SupportReferenceGrant, features.SupportListenerSet, features.SupportClusterTrustBundle,
	features.SupportBackendTLSPolicy, features.SupportBackendTLSPolicySANValidation,
	features.SupportGatewayPort8080, features.SupportGatewayAddressEmpty,
	features.SupportGatewayInfrastructure, features.SupportGatewayStaticAddresses,
	features.SupportGatewayHTTPListenerIsolation, features.SupportGatewayHTTPSListenerDetectMisdirectedRequests,
	features.SupportGatewayBackendClientCertificate, features.SupportGatewayFrontendClientCertificateValidation,
	features.SupportGatewayFrontendClientCertificateValidationInsecureFallback,
	features.SupportGatewayRouteHostnameIntersectionPrecedence,
	features.SupportGRPCRoute, features.SupportGRPCRouteNamedRouteRule, features.SupportGRPCRouteRequestHeaderModifier,
	features.SupportTLSRoute, features.SupportTLSRouteModeTerminate, features.SupportTLSRouteModeMixed,
	features.SupportTCPRoute, features.SupportUDPRoute,
	features.SupportHTTPRoute, features.SupportHTTPRouteDestinationPortMatching,
	features.SupportHTTPRouteBackendRequestHeaderModification, features.SupportHTTPRouteQueryParamMatching,
	features.SupportHTTPRouteMethodMatching, features.SupportHTTPRouteResponseHeaderModification,
	features.SupportHTTPRoutePortRedirect, features.SupportHTTPRouteSchemeRedirect, features.SupportHTTPRoutePathRedirect,
	features.SupportHTTPRouteHostRewrite, features.SupportHTTPRoutePathRewrite, features.SupportHTTPRouteRequestMirror,
	features.SupportHTTPRouteRequestMultipleMirrors, features.SupportHTTPRouteRequestPercentageMirror,
	features.SupportHTTPRouteRequestTimeout, features.SupportHTTPRouteBackendTimeout, features.SupportHTTPRouteParentRefPort,
	features.SupportHTTPRouteBackendProtocolH2C, features.SupportHTTPRouteBackendProtocolWebSocket,
	features.SupportHTTPRouteNamedRouteRule, features.SupportHTTPRouteCORS, features.SupportHTTPRoute303RedirectStatusCode,
	features.SupportHTTPRoute307RedirectStatusCode, features.SupportHTTPRoute308RedirectStatusCode,
	features.SupportHTTPRouteRetryCodes, features.SupportHTTPRouteRetryConnectionError, features.SupportHTTPRouteBackendURLRewrite,
}
