package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/provisioner/bootstrap"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/translator/ir"
)

// Names of what the rig makes.
const (
	FleetName   = "edge"
	GatewayName = "gw"
	className   = "signet"
)

// Envoy is an Envoy of a fleet that serves HTTP.
type Envoy struct {
	*Process
	estate.Site

	admin string
}

// Fleet makes an EnvoyFleet whose HTTP listener is at the returned address.
func (r *Rig) Fleet(ctx context.Context) (string, error) {
	address, err := freeport.Address()
	if err != nil {
		return "", err
	}
	f := &v1alpha1.EnvoyFleet{Namespace: Namespace, Name: FleetName}
	f.Spec.Listeners.HTTP.Port = portOf(address)
	f.Spec.Listeners.HTTPS.Enabled = new(false)
	if err := r.Client.Create(ctx, f); err != nil {
		return "", fmt.Errorf("EnvoyFleet: %w", err)
	}
	return address, nil
}

// Gateway makes a GatewayClass and a Gateway with one HTTP listener, at the
// returned address.
func (r *Rig) Gateway(ctx context.Context) (string, error) {
	address, err := freeport.Address()
	if err != nil {
		return "", err
	}
	k := &gatewayv1.GatewayClass{}
	k.Name, k.Spec.ControllerName = className, "signetproxy.io/gateway-controller"
	if err := r.Client.Create(ctx, k); err != nil {
		return "", fmt.Errorf("GatewayClass: %w", err)
	}
	g := &gatewayv1.Gateway{Namespace: Namespace, Name: GatewayName}
	g.Spec.GatewayClassName = className
	g.Spec.Listeners = []gatewayv1.Listener{{Name: "http", Protocol: gatewayv1.HTTPProtocolType, Port: portOf(address)}}
	if err := r.Client.Create(ctx, g); err != nil {
		return "", fmt.Errorf("Gateway: %w", err)
	}
	return address, nil
}

// StartFleet starts an Envoy of the EnvoyFleet, as soon as the operator has made
// its identity.
func (r *Rig) StartFleet(ctx context.Context, address string) (*Envoy, error) {
	return r.startEnvoy(ctx, ir.Name{Namespace: Namespace, Name: FleetName}, FleetName+"-envoy-identity", address)
}

// StartGateway gives the Service of a Gateway an address, as a cloud does, and
// starts an Envoy of it, which serves HTTP at the given address.
func (r *Rig) StartGateway(ctx context.Context, name, address string) (*Envoy, error) {
	objects := name + "-" + className
	s := &corev1.Service{}
	if err := r.awaitObject(ctx, objects, s); err != nil {
		return nil, err
	}
	before := s.DeepCopy()
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.1"}}
	if err := r.Client.Status().Patch(ctx, s, client.MergeFrom(before)); err != nil {
		return nil, fmt.Errorf("address of the Gateway: %w", err)
	}
	return r.startEnvoy(ctx, certificate.GatewayFleet(ir.Name{Namespace: Namespace, Name: name}), objects+"-identity", address)
}

func (r *Rig) awaitObject(ctx context.Context, name string, o client.Object) error {
	return Await(ctx, fmt.Sprintf("%T %s", o, name), func(ctx context.Context) error {
		return r.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, o)
	})
}

var errNoEnvoy = errors.New("SIGNET_ENVOY names no Envoy: run this by make")

// startEnvoy starts an Envoy from what a pod is given, and returns when it
// listens.
func (r *Rig) startEnvoy(ctx context.Context, fleet ir.Name, secret, address string) (*Envoy, error) {
	binary := os.Getenv("SIGNET_ENVOY")
	if binary == "" {
		return nil, errNoEnvoy
	}
	identity := &corev1.Secret{}
	if err := r.awaitObject(ctx, secret, identity); err != nil {
		return nil, err
	}
	folder := r.file(fmt.Sprint("envoy-", len(r.envoys)))
	mount := filepath.Join(folder, "identity")
	if err := os.MkdirAll(mount, 0o700); err != nil {
		return nil, fmt.Errorf("folder of Envoy: %w", err)
	}
	if err := writeAll(mount, identity.Data); err != nil {
		return nil, err
	}
	status, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	e := &Envoy{admin: filepath.Join(folder, "admin.sock")}
	files, err := bootstrap.Files(bootstrap.Config{
		Fleet: fleet, NodeID: "rig-0", XDSAddress: r.xds, ServerName: certificate.ServerName,
		CertificateFolder: folder, AdminSocket: e.admin, StatusAddress: "127.0.0.1", StatusPort: uint32(portOf(status)),
	}, mount, nil)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if err := writeAll(folder, files); err != nil {
		return nil, err
	}
	// One worker: what one request saw, later ones see too.
	if e.Process, err = startProcess("Envoy", filepath.Join(folder, "log"), binary,
		"--config-path", filepath.Join(folder, bootstrap.BootstrapFile),
		"--disable-hot-restart", "--log-level", "warning", "--concurrency", "1"); err != nil {
		return nil, err
	}
	r.envoys = append(r.envoys, e)
	e.HTTP = address
	e.Open()
	err = e.await(ctx, "readiness of Envoy", answers(plain, "http://"+status+"/ready"))
	return e, err
}

// Stop ends it and the connections to it.
func (e *Envoy) Stop() error {
	e.Close()
	return e.Process.Stop()
}

// Stats returns the counters and gauges whose name fits the filter, a regular
// expression.
func (e *Envoy) Stats(ctx context.Context, filter string) (map[string]uint64, error) {
	b, err := body(ctx, unixClient(e.admin), "http://envoy/stats?format=json&filter="+filter)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Stats []struct {
			Name  string
			Value uint64
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, fmt.Errorf("statistics of Envoy: %w", err)
	}
	out := map[string]uint64{}
	for _, s := range answer.Stats {
		out[s.Name] = s.Value
	}
	return out, nil
}

func writeAll(folder string, files map[string][]byte) error {
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return fmt.Errorf("file: %w", err)
		}
	}
	return nil
}

func portOf(address string) int32 {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return 0
	}
	return int32(a.Port)
}
