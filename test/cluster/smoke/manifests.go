package smoke

import "strings"

// manifests are a backend behind an Envoy: the Envoy asks the echo Service over
// TLS with a client certificate, and its own Service has an address of the load
// balancer. Both images come from this machine; both pods are restricted.
func manifests(echoImage, envoyImage string) string {
	return strings.NewReplacer("ECHO", echoImage, "ENVOY", envoyImage).Replace(`
apiVersion: v1
kind: Namespace
metadata: {name: smoke, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: smoke}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: echo
          image: ECHO
          args: [--https=:8443, --certificate=/tls/tls.crt, --key=/tls/tls.key, --client-ca=/tls/ca.crt]
          readinessProbe: {httpGet: {path: /healthz, port: 9090}, periodSeconds: 1}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts: [{name: tls, mountPath: /tls, readOnly: true}]
      volumes: [{name: tls, secret: {secretName: echo}}]
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: smoke}
spec:
  type: LoadBalancer
  selector: {app: echo}
  ports:
    - {name: http, port: 80, targetPort: 8080}
    - {name: https, port: 443, targetPort: 8443}
    - {name: admin, port: 9090}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: envoy, namespace: smoke}
data:
  envoy.yaml: |
    static_resources:
      listeners:
        - name: http
          address: {socket_address: {address: 0.0.0.0, port_value: 80}}
          filter_chains:
            - filters:
                - name: envoy.filters.network.http_connection_manager
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                    stat_prefix: http
                    route_config:
                      virtual_hosts:
                        - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: echo}}]}
                    http_filters:
                      - name: envoy.filters.http.router
                        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
      clusters:
        - name: echo
          type: STRICT_DNS
          load_assignment:
            cluster_name: echo
            endpoints:
              - lb_endpoints:
                  - endpoint: {address: {socket_address: {address: echo.smoke.svc.cluster.local, port_value: 443}}}
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
              sni: echo.example
              common_tls_context:
                tls_params: {tls_maximum_protocol_version: TLSv1_3}
                tls_certificates:
                  - {certificate_chain: {filename: /tls/tls.crt}, private_key: {filename: /tls/tls.key}}
                validation_context:
                  trusted_ca: {filename: /tls/ca.crt}
                  match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: echo.example}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: envoy, namespace: smoke}
spec:
  selector: {matchLabels: {app: envoy}}
  template:
    metadata: {labels: {app: envoy}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: envoy
          image: ENVOY
          args: [--config-path, /config/envoy.yaml, --concurrency, "1"]
          readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: config, mountPath: /config, readOnly: true}
            - {name: tls, mountPath: /tls, readOnly: true}
      volumes:
        - {name: config, configMap: {name: envoy}}
        - {name: tls, secret: {secretName: envoy}}
---
apiVersion: v1
kind: Service
metadata: {name: envoy, namespace: smoke}
spec:
  type: LoadBalancer
  selector: {app: envoy}
  ports: [{name: http, port: 80}]
`)
}
