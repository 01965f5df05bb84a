package rig

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/signetproxy/signet/operator/cluster"
)

// StartOperator starts the operator and waits until it is ready. One runs at a
// time; it finds what former ones have left in the API server.
func (r *Rig) StartOperator(ctx context.Context) error {
	argv := append([]string{}, r.Signet...)
	argv = append(argv, "--kubeconfig", r.file("kubeconfig"), "--namespace", System, "--envoy-image", "signet-envoy:test",
		"--xds-bind", r.xds, "--xds-address", r.xds, "--health-bind", r.health, "--metrics-bind", r.Metrics, "--status-bind", "0")
	p, err := startProcess("signet operator", r.file("operator.log"), argv...)
	if err != nil {
		return err
	}
	r.Operator = p
	return p.await(ctx, "readiness of the operator", answers(plain, "http://"+r.health+"/readyz"))
}

// StopOperator asks the operator to end, and waits until it has.
func (r *Rig) StopOperator() error {
	if r.Operator == nil {
		return nil
	}
	p := r.Operator
	r.Operator = nil
	return p.Stop()
}

// OperatorMetrics is what the operator tells of itself.
func (r *Rig) OperatorMetrics(ctx context.Context) (string, error) {
	b, err := body(ctx, plain, "http://"+r.Metrics+"/metrics")
	return string(b), err
}

// account is the operator's: the chart says what it may do.
const account = "system:serviceaccount:" + System + ":signet"

// writeKubeconfig writes how the operator reaches the API server.
func (r *Rig) writeKubeconfig() error {
	const name = "rig"
	from := r.Server.Config
	c := clientcmdapi.NewConfig()
	c.Clusters[name] = &clientcmdapi.Cluster{Server: from.Host, CertificateAuthorityData: from.CAData}
	c.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: from.CertData, ClientKeyData: from.KeyData, Impersonate: account,
	}
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	c.CurrentContext = name
	if err := clientcmd.WriteToFile(*c, r.file("kubeconfig")); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	return nil
}

// Command is the hidden command by which a test binary runs [Operator].
const Command = "test-operator"

// Operator is `signet operator` for test binaries, which are built with the race
// detector: args are the flags that StartOperator gives.
func Operator(args []string) int {
	if err := operate(args); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		return 1
	}
	return 0
}

func operate(args []string) error {
	cfg := cluster.Config{LeaderElection: true}
	f := flag.NewFlagSet(Command, flag.ContinueOnError)
	kubeconfig := f.String("kubeconfig", "", "")
	for name, to := range map[string]*string{
		"namespace": &cfg.Namespace, "envoy-image": &cfg.Image, "xds-bind": &cfg.XDSBind, "xds-address": &cfg.XDSAddress,
		"health-bind": &cfg.HealthAddress, "metrics-bind": &cfg.MetricsAddress, "status-bind": &cfg.StatusAddress,
	} {
		f.StringVar(to, name, "", "")
	}
	if err := f.Parse(args); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	var err error
	if cfg.REST, err = clientcmd.BuildConfigFromFlags("", *kubeconfig); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	cfg.REST.QPS = -1
	logger, err := zap.NewProduction()
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	cfg.Log = zapr.NewLogger(logger)
	ctrllog.SetLogger(cfg.Log)
	c, err := cluster.New(cfg)
	if err != nil {
		return fmt.Errorf("assemble: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := c.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

func (r *Rig) file(name string) string { return filepath.Join(r.dir, name) }
