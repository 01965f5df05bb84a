package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/test/apiserver"
	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/pki"
)

// System is the namespace of the operator, and Namespace that of all else.
const (
	System    = "signet-system"
	Namespace = "default"
)

// Options make a rig.
type Options struct {
	// Signet runs the operator: a program and the arguments before its flags.
	Signet []string
	// Install is the file of the manifests that users apply.
	Install string
	// Progress is told what happens; nil is nobody.
	Progress io.Writer
}

// Rig is an API server with the CRDs and the operator's rights, and backends.
// The operator and Envoys are started by its methods.
type Rig struct {
	Options

	Server *apiserver.Server
	// Client is a cluster administrator's, without a limit.
	Client client.WithWatch
	// CA signs the certificates of the backends.
	CA *pki.Authority
	// Backends "a" and "b" have certificates for Subject, and refuse handshakes
	// without a server name.
	Backends [2]*backend.Backend
	// Operator is the one that runs; nil is none.
	Operator *Process
	// Metrics is the address at which it tells of itself.
	Metrics string

	envoys      []*Envoy
	dir         string
	xds, health string
}

// serverFlags let thousands of objects be written at the speed of the machine.
var serverFlags = map[string]string{
	"enable-priority-and-fairness":   "false",
	"max-requests-inflight":          "0",
	"max-mutating-requests-inflight": "0",
	// There is no default route to find one by.
	"advertise-address": Address,
}

// New starts the API server and the backends. The rig must be closed.
func New(ctx context.Context, o Options) (*Rig, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	dir, err := os.MkdirTemp("", "signet-rig-")
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	r := &Rig{Options: o, dir: dir}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Rig) prepare(ctx context.Context) error {
	for _, a := range []*string{&r.xds, &r.health, &r.Metrics} {
		var err error
		if *a, err = freeport.Address(); err != nil {
			return err
		}
	}
	if err := r.startBackends(); err != nil {
		return err
	}
	var err error
	if r.Server, err = apiserver.StartWith(apiserver.Options{
		Flags: serverFlags,
		CRDs:  append([]string{apiserver.EnvoyFleets, apiserver.HTTPProxies, apiserver.TLSCertificateDelegations}, apiserver.GatewayAPI()...),
	}); err != nil {
		return fmt.Errorf("rig: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, contourv1.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install,
	} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("scheme: %w", err)
		}
	}
	config := rest.CopyConfig(r.Server.Config)
	config.QPS = -1
	if r.Client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if err := r.install(ctx); err != nil {
		return err
	}
	return r.writeKubeconfig()
}

func (r *Rig) startBackends() error {
	var err error
	if r.CA, err = pki.NewAuthority("CA of the rig"); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	pair, err := r.CA.Issue(pki.Leaf{DNS: []string{Subject}})
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	for i, name := range []string{"a", "b"} {
		if r.Backends[i], err = backend.Start(backend.Config{
			Name: name, Address: net.JoinHostPort(Address, "0"), Certificate: &pair.TLS, NeedsSNI: true, Keep: backend.None,
		}); err != nil {
			return fmt.Errorf("rig: %w", err)
		}
	}
	return nil
}

// install applies the manifests that users apply. Its Deployment stays without
// pods.
func (r *Rig) install(ctx context.Context) error {
	text, err := os.ReadFile(r.Install)
	if err != nil {
		return fmt.Errorf("manifests: %w", err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &u.Object); err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
		if len(u.Object) == 0 {
			continue // a comment
		}
		if err := r.Client.Create(ctx, u, client.FieldValidation("Strict")); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

// Close ends all of it.
func (r *Rig) Close() error {
	errs := []error{r.StopOperator()}
	for _, e := range r.envoys {
		errs = append(errs, e.Stop())
	}
	for _, b := range r.Backends {
		if b != nil {
			b.Close()
		}
	}
	if r.Server != nil {
		errs = append(errs, r.Server.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

// Cleartext counts the connections to the backends that were no TLS.
func (r *Rig) Cleartext() int64 { return r.Backends[0].Cleartext() + r.Backends[1].Cleartext() }

func (r *Rig) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Progress, "  "+format+"\n", args...) // progress is nothing to fail for
}
