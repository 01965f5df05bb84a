package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetproxy/signet/operator/cluster"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/standalone"
)

func newTranslate(log *logOptions) *cobra.Command {
	var (
		from, output string
		namespaces   []string
		timeout      time.Duration
		at           clusterFlags
	)
	cmd := &cobra.Command{
		Use:   "translate",
		Short: "Print the statuses and Envoy resources of manifests, without running anything",
		Long: "Translates a folder, a file, standard input or a cluster once and prints what\n" +
			"Envoy would get and what each object's status would say. Private keys are\n" +
			"redacted. A cluster is read with the rights of your own account, and nothing is\n" +
			"written: it tells what another version of Signet would make of it.\n\n" +
			"Exit code 1 says that an object is invalid or could not be read.",
		Example: "  signet translate -f ./manifests -o yaml\n  kubectl get httpproxies,services,secrets -o yaml | signet translate -f -\n" +
			"  signet translate --cluster -o text",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "text", "json", "yaml"); err != nil {
				return err
			}
			r, err := func() (*report.Report, error) {
				if !at.chosen() {
					return standalone.Translate(from, cmd.InOrStdin(), time.Now())
				}
				config, err := at.config()
				if err != nil {
					return nil, err
				}
				ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
				defer cancel()
				logger, err := log.logger()
				if err != nil {
					return nil, err
				}
				return cluster.Translate(ctx, config, namespaces, logger)
			}()
			if err != nil {
				return fmt.Errorf("translate: %w", err)
			}
			if err := printReport(cmd.OutOrStdout(), r, output); err != nil {
				return err
			}
			if r.Invalid() {
				return errInvalid
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&from, "from", "f", "", "folder, file, or - for standard input")
	at.addChoice(cmd.Flags())
	cmd.Flags().StringSliceVar(&namespaces, "namespaces", nil, "namespaces of the cluster to read, comma-separated; default: all")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for all objects of a cluster")
	cmd.MarkFlagsMutuallyExclusive("from", "cluster")
	if !asPlugin() {
		cmd.MarkFlagsOneRequired("from", "cluster", "kubeconfig", "context")
	}
	outputFlag(cmd, &output, "yaml", "yaml", "json", "text")
	return cmd
}
