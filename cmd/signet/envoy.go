package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetproxy/signet/provisioner/bootstrap"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/provisioner/host"
	"github.com/signetproxy/signet/translator/ir"
)

func newEnvoy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "envoy",
		Short: "What runs beside Envoy in a fleet's pods",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newEnvoyBootstrap(), newEnvoyDrain())
	return cmd
}

func newEnvoyBootstrap() *cobra.Command {
	var fleet, folder, identity, patch string
	c := bootstrap.Config{ServerName: certificate.ServerName}
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Write what an Envoy of a fleet starts from",
		Long: "Writes Envoy's bootstrap and the files that name its identity into a folder.\n" +
			"None of them is secret: the identity stays in the Secret that is mounted.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			namespace, name, ok := strings.Cut(fleet, "/")
			if !ok {
				return fmt.Errorf("--fleet %q is not namespace/name", fleet)
			}
			c.Fleet = ir.Name{Namespace: namespace, Name: name}
			c.CertificateFolder, c.AdminSocket = folder, filepath.Join(folder, "admin.sock")
			files, err := bootstrap.Files(c, identity, []byte(patch))
			if err != nil {
				return err
			}
			for name, content := range files {
				if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
					return fmt.Errorf("--folder: %w", err)
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&fleet, "fleet", "", "namespace/name of the fleet (required)")
	f.StringVar(&c.NodeID, "node", "", "name of this Envoy among those of its fleet (required)")
	f.StringVar(&c.XDSAddress, "xds-address", "", "host:port of the xDS server (required)")
	f.StringVar(&identity, "identity-folder", "", "folder with tls.crt, tls.key and ca.crt (required)")
	f.StringVar(&folder, "folder", "", "folder to write to, for the admin socket too (required)")
	f.StringVar(&c.StatusAddress, "status-address", "0.0.0.0", "IP address that answers readiness and metrics")
	f.Uint32Var(&c.StatusPort, "status-port", 0, "TCP port that answers readiness and metrics; 0 is none")
	f.Uint64Var(&c.MaxHeapBytes, "max-heap-bytes", 0, "heap at which Envoy refuses requests, in bytes; 0 is never")
	f.StringVar(&patch, "patch", "", "merge patch (RFC 7396) of the bootstrap, as JSON")
	for _, name := range []string{"fleet", "node", "xds-address", "identity-folder", "folder"} {
		_ = cmd.MarkFlagRequired(name) // the flag exists
	}
	return cmd
}

func newEnvoyDrain() *cobra.Command {
	var (
		socket          string
		timeout, settle time.Duration
	)
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "End an Envoy's traffic without loss, and return when nothing is in flight",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			err := host.Drain(ctx, socket, min(settle, timeout/2))
			if errors.Is(err, context.DeadlineExceeded) && cmd.Context().Err() == nil {
				return nil // what is still open had its time
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&socket, "admin-socket", "", "path of Envoy's admin socket (required)")
	f.DurationVar(&timeout, "timeout", time.Minute, "how long open requests may take")
	f.DurationVar(&settle, "settle", 5*time.Second, "how long new connections are still taken, at most half of timeout")
	_ = cmd.MarkFlagRequired("admin-socket") // the flag exists
	return cmd
}
