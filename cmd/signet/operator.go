package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/signetproxy/signet/operator/cluster"
	"github.com/signetproxy/signet/operator/inspect"
)

// namespaceFile is where a pod finds its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func newOperator(log *logOptions) *cobra.Command {
	var (
		cfg cluster.Config
		at  clusterFlags
	)
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Serve a Kubernetes cluster: fleets, certificates, xDS and statuses",
		Long: "Reads the cluster's objects, keeps the Envoys of each EnvoyFleet, and serves\n" +
			"xDS to them alone. Every replica serves; one of them, the leader, writes.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := log.logger()
			if err != nil {
				return err
			}
			ctrllog.SetLogger(logger)
			klog.SetLogger(logger)
			cfg.Log, cfg.Version = logger, version
			if cfg.REST, err = at.config(); err != nil {
				return err
			}
			if err := defaultNamespace(&cfg); err != nil {
				return err
			}
			if cfg.XDSAddress == "" {
				cfg.XDSAddress = "signet-xds." + cfg.Namespace + ".svc:18000"
			}
			c, err := cluster.New(cfg)
			if err != nil {
				return fmt.Errorf("operator: %w", err)
			}
			return c.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	at.add(f)
	f.StringVar(&cfg.Namespace, "namespace", "", "namespace of Signet itself; default: the pod's")
	f.StringSliceVar(&cfg.Namespaces, "namespaces", nil, "namespaces to serve, comma-separated; default: all")
	f.StringVar(&cfg.Image, "envoy-image", "", "image of the fleets' pods, where an EnvoyFleet names none (required)")
	f.StringVar(&cfg.XDSBind, "xds-bind", ":18000", "address that the xDS server listens on")
	f.StringVar(&cfg.XDSAddress, "xds-address", "", "host:port by which pods reach it; default: signet-xds.<namespace>.svc:18000")
	f.StringVar(&cfg.HealthAddress, "health-bind", ":8081", "address of /healthz and /readyz; 0 is none")
	f.StringVar(&cfg.MetricsAddress, "metrics-bind", ":8080", "address of /metrics; 0 is none")
	f.StringVar(&cfg.StatusAddress, "status-bind", fmt.Sprintf("127.0.0.1:%d", inspect.Port),
		"loopback address that answers signet status by port-forward; 0 is none")
	f.BoolVar(&cfg.LeaderElection, "leader-election", true, "let one of several replicas write; false if there is only one")
	_ = cmd.MarkFlagRequired("envoy-image") // the flag exists
	return cmd
}

var errNoNamespace = errors.New("--namespace is needed outside of a pod: name the namespace of Signet itself")

func defaultNamespace(cfg *cluster.Config) error {
	if cfg.Namespace != "" {
		return nil
	}
	text, err := os.ReadFile(namespaceFile)
	if err != nil || len(text) == 0 {
		return errNoNamespace
	}
	cfg.Namespace = string(text)
	return nil
}
