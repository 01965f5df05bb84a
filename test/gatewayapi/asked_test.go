package gatewayapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
)

// asked is an authorization server that lets requests through whose
// Authorization is "good". It remembers what it was asked.
type asked struct {
	authv3.UnimplementedAuthorizationServer

	port int

	mu   sync.Mutex
	seen []question
}

// question is one request for leave. Header names are lower case for gRPC.
type question struct {
	path, body string
	header     http.Header
}

func (a *asked) note(q question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, q)
}

func (a *asked) last() question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.seen) == 0 {
		return question{}
	}
	return a.seen[len(a.seen)-1]
}

func (a *asked) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

// askedHTTP speaks HTTP over TLS.
func askedHTTP(t *testing.T, cert *tls.Certificate) *asked {
	t.Helper()
	a := &asked{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(a.answer))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	address, _ := s.Listener.Addr().(*net.TCPAddr)
	a.port = address.Port
	return a
}

func (a *asked) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what there is
	a.note(question{path: r.URL.Path, body: string(body), header: r.Header})
	w.Header().Set("Content-Type", "text/x-asked")
	w.Header().Set("X-User", "bob")
	w.Header().Set("X-Other", "1")
	w.Header().Set("Content-Language", "tlh")
	w.Header().Set("Host", "asked.test")
	w.Header().Set("TE", "asked")
	w.Header().Set("X-Envoy-Retry-On", "5xx")
	switch r.Header.Get("Authorization") {
	case "good":
		w.WriteHeader(http.StatusOK)
	case "no content":
		w.WriteHeader(http.StatusNoContent)
	case "ill":
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "who are you?") // the client may be gone
	}
}

// askedGRPC speaks Envoy's protocol over TLS.
func askedGRPC(t *testing.T, cert *tls.Certificate) *asked {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, _ := l.Addr().(*net.TCPAddr)
	a := &asked{port: address.Port}
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(cert)))
	authv3.RegisterAuthorizationServer(s, a)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Errorf("authorization server: %v", err)
		}
	})
	return a
}

// Check implements authv3.AuthorizationServer.
func (a *asked) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	r := in.GetAttributes().GetRequest().GetHttp()
	q := question{path: r.GetPath(), body: r.GetBody(), header: http.Header{}}
	for k, v := range r.GetHeaders() {
		q.header[k] = []string{v}
	}
	a.note(q)
	if r.GetHeaders()["authorization"] != "good" {
		return &authv3.CheckResponse{
			Status: &statusv3.Status{Code: int32(codes.PermissionDenied)},
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status: &typev3.HttpStatus{Code: typev3.StatusCode_PaymentRequired}, Body: "pay first",
			}},
		}, nil
	}
	return &authv3.CheckResponse{
		Status: &statusv3.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-user", Value: "alice"}}},
		}},
	}, nil
}

// serviceAt is a Service with one endpoint on loopback, which need not be
// there.
func serviceAt(name string, port int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{name: web, port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{name: web, port: %[2]d, protocol: TCP}]
`, name, port)
}
