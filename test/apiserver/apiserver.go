package apiserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/api/crds"
)

// The CRDs of operator/api/crds by their files.
const (
	EnvoyFleets               = "operator.signetproxy.io_envoyfleets.yaml"
	HTTPProxies               = "projectcontour.io_httpproxies.yaml"
	TLSCertificateDelegations = "projectcontour.io_tlscertificatedelegations.yaml"
)

// GatewayAPI are the CRDs of the Gateway API.
func GatewayAPI() []string {
	var out []string
	for _, kind := range []string{
		"gatewayclasses", "gateways", "listenersets", "httproutes", "grpcroutes", "tlsroutes", "tcproutes", "udproutes",
		"backendtlspolicies", "referencegrants",
	} {
		out = append(out, "gateway.networking.k8s.io_"+kind+".yaml")
	}
	return out
}

// Server is a running API server.
type Server struct {
	// Config is a cluster administrator's.
	Config *rest.Config

	env    *envtest.Environment
	folder string
	// log is kept open for an API server that is started again.
	log *os.File
}

var errNoBinaries = errors.New("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver: run make tool-kubernetes, and the test by make unit")

// Options of an API server.
type Options struct {
	// CRDs are files of operator/api/crds; their kinds are served when it starts.
	CRDs []string
	// Flags of kube-apiserver, without dashes, in place of envtest's.
	Flags map[string]string
}

// Start starts an API server that has the named CRDs.
func Start(crdFiles ...string) (*Server, error) { return StartWith(Options{CRDs: crdFiles}) }

// StartWith starts an API server.
func StartWith(o Options) (*Server, error) {
	if _, err := os.Stat(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-apiserver")); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoBinaries, err)
	}
	folder, err := os.MkdirTemp("", "signet-apiserver-")
	if err != nil {
		return nil, fmt.Errorf("folder of the API server: %w", err)
	}
	s := &Server{env: &envtest.Environment{}, folder: folder}
	// A folder of our own outlives a stop, and with it the certificates.
	server := s.env.ControlPlane.GetAPIServer()
	server.CertDir = folder
	server.Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	for name, value := range o.Flags {
		server.Configure().Set(name, value)
	}
	if s.log, err = os.Create(filepath.Join(folder, "log")); err != nil {
		return nil, errors.Join(fmt.Errorf("log of the API server: %w", err), os.RemoveAll(folder))
	}
	server.Out, server.Err = s.log, s.log
	if s.Config, err = s.env.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the API server: %w; its log ends:\n%s", err, tail(s.log.Name())), s.log.Close(), os.RemoveAll(folder))
	}
	for _, f := range o.CRDs {
		if err := s.InstallCRD(f); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// tail is the end of a file.
func tail(file string) []byte {
	b, err := os.ReadFile(file)
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-2000):]
}

// Stop ends it for good.
func (s *Server) Stop() error {
	if err := errors.Join(s.env.Stop(), s.log.Close(), os.RemoveAll(s.folder)); err != nil {
		return fmt.Errorf("stop the API server: %w", err)
	}
	return nil
}

// Pause kills the API server, as a crash does; etcd keeps what it had.
func (s *Server) Pause() error {
	pid, err := s.pid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the API server: %w", err)
	}
	if err := s.env.ControlPlane.GetAPIServer().Stop(); err != nil {
		return fmt.Errorf("stop the API server: %w", err)
	}
	return nil
}

// pid finds the API server's process by the folder that it alone is given.
func (s *Server) pid() (int, error) {
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, fmt.Errorf("look for the API server: %w", err)
	}
	for _, f := range found {
		line, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(line), "--cert-dir="+s.folder) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			return 0, fmt.Errorf("look for the API server: %w", err)
		}
		return pid, nil
	}
	return 0, fmt.Errorf("no API server with --cert-dir=%s runs", s.folder)
}

// Resume starts it again at the same address.
func (s *Server) Resume() error {
	if err := s.env.ControlPlane.GetAPIServer().Start(); err != nil {
		return fmt.Errorf("start the API server again: %w", err)
	}
	return nil
}

// EtcdURL is where the API server's etcd answers, without TLS.
func (s *Server) EtcdURL() string { return s.env.ControlPlane.Etcd.URL.String() }

// User returns the config of a user who may do nothing yet.
func (s *Server) User(name string) (*rest.Config, error) {
	u, err := s.env.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return u.Config(), nil
}

// InstallCRD installs a CRD, changed if need be, and waits until its kind is
// served.
func (s *Server) InstallCRD(file string, changes ...func(*apiextensionsv1.CustomResourceDefinition)) error {
	crd, err := readCRD(file)
	if err != nil {
		return err
	}
	for _, change := range changes {
		change(crd)
	}
	if _, err = envtest.InstallCRDs(s.Config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{crd}}); err != nil {
		return fmt.Errorf("install %s: %w", file, err)
	}
	return nil
}

// RemoveCRD removes a CRD with its objects, and waits until it is gone.
func (s *Server) RemoveCRD(ctx context.Context, file string) error {
	crd, err := readCRD(file)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("scheme: %w", err)
	}
	c, err := client.New(s.Config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if err := c.Delete(ctx, crd); err != nil {
		return fmt.Errorf("remove %s: %w", file, err)
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(crd), crd)), nil
	})
	if err != nil {
		return fmt.Errorf("remove %s: %w", file, err)
	}
	return nil
}

func readCRD(file string) (*apiextensionsv1.CustomResourceDefinition, error) {
	text, err := crds.Files.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("CRD: %w", err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, crd); err != nil {
		return nil, fmt.Errorf("CRD %s: %w", file, err)
	}
	return crd, nil
}
