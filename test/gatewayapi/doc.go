// Package gatewayapi proves what Gateways, routes and policies of the Gateway
// API do to traffic: with a folder of manifests, a real Envoy and real TLS.
package gatewayapi
