package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/signetproxy/signet/operator/standalone"
	"github.com/signetproxy/signet/provisioner/host"
)

func newStandalone(log *logOptions) *cobra.Command {
	var cfg standalone.Config
	cmd := &cobra.Command{
		Use:   "standalone",
		Short: "Serve a folder of manifests with a local Envoy, without a cluster",
		Long: "Reads the manifests below a folder, follows every change of them, and serves\n" +
			"them with an Envoy of its own. Ctrl-C drains and ends both.\n\n" +
			"Standard output is Envoy's access log; all else goes to standard error.",
		Example: "  signet standalone --manifests ./manifests",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkStandalone(&cfg); err != nil {
				return err
			}
			logger, err := log.logger()
			if err != nil {
				return err
			}
			cfg.Log, cfg.Stdout, cfg.Version = logger, cmd.OutOrStdout(), version
			s, err := standalone.New(cfg)
			if err != nil {
				return fmt.Errorf("standalone: %w", err)
			}
			go func() {
				select {
				case <-s.Ready():
					logger.Info("serving", "manifests", cfg.Manifests,
						"http", fmt.Sprintf("http://%s", net.JoinHostPort(cfg.Address, fmt.Sprint(cfg.HTTPPort))),
						"https", fmt.Sprintf("https://%s", net.JoinHostPort(cfg.Address, fmt.Sprint(cfg.HTTPSPort))))
				case <-cmd.Context().Done():
				}
			}()
			return s.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&cfg.Manifests, "manifests", "f", "", "folder of manifests to serve and to follow (required)")
	f.StringVar(&cfg.Address, "address", "127.0.0.1", "IP address that Envoy listens on")
	f.IntVar(&cfg.HTTPPort, "http-port", 8080, "port for HTTP")
	f.IntVar(&cfg.HTTPSPort, "https-port", 8443, "port for HTTPS")
	f.StringVar(&cfg.Envoy, "envoy", "", "path of the Envoy binary; default: $"+host.EnvoyVariable+", the tools cache, $PATH")
	f.StringVar(&cfg.StateRoot, "state", "",
		"folder that keeps the authority of issued client certificates; default: $XDG_STATE_HOME/signet, ~/.local/state/signet")
	f.Uint32Var(&cfg.Concurrency, "concurrency", 0, "worker threads of Envoy; 0 is one per processor")
	f.DurationVar(&cfg.DrainTimeout, "drain-timeout", 0, "how long open requests may take at the end; 0 is 5s")
	f.StringVar(&cfg.MetricsAddress, "metrics-address", "",
		"host:port for /healthz, /readyz and /metrics, such as 127.0.0.1:8081; empty or 0 serves none")
	f.BoolVar(&cfg.Profiles, "pprof", false, "serve /debug/pprof/ on --metrics-address too")
	_ = cmd.MarkFlagRequired("manifests") // the flag exists
	_ = cmd.MarkFlagDirname("manifests")
	return cmd
}

func checkStandalone(cfg *standalone.Config) error {
	if net.ParseIP(cfg.Address) == nil {
		return fmt.Errorf("--address %q is not an IP address", cfg.Address)
	}
	ports := map[string]int{"--http-port": cfg.HTTPPort, "--https-port": cfg.HTTPSPort}
	for flag, port := range ports {
		if port < 1 || port > 65535 {
			return fmt.Errorf("%s %d: a port is 1 to 65535", flag, port)
		}
	}
	if cfg.HTTPPort == cfg.HTTPSPort {
		return fmt.Errorf("--http-port and --https-port are both %d: give two ports", cfg.HTTPPort)
	}
	if err := checkMetrics(cfg); err != nil {
		return err
	}
	info, err := os.Stat(cfg.Manifests)
	if err != nil {
		return fmt.Errorf("--manifests: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--manifests %s is not a folder", cfg.Manifests)
	}
	return nil
}

// checkMetrics takes "0" for none, as controller-runtime does.
func checkMetrics(cfg *standalone.Config) error {
	if cfg.MetricsAddress == "0" {
		cfg.MetricsAddress = ""
	}
	if cfg.MetricsAddress == "" {
		if cfg.Profiles {
			return errors.New("--pprof needs --metrics-address, such as 127.0.0.1:8081")
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(cfg.MetricsAddress); err != nil {
		return fmt.Errorf("--metrics-address %q is not host:port, such as 127.0.0.1:8081: %w", cfg.MetricsAddress, err)
	}
	return nil
}
