package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/inspect"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/standalone"
)

func newStatus() *cobra.Command {
	var (
		socket, output, namespace string
		at                        clusterFlags
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is served, by whom it is acknowledged, and how each backend is verified",
		Long: "Asks the standalone that runs on this machine, or with --cluster all operators\n" +
			"of a cluster, by port-forward.",
		Example: "  signet status\n  signet status --context production\n" +
			"  kubectl signet status -o json   # the binary, or a link to it, named kubectl-signet",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "text", "json", "yaml"); err != nil {
				return err
			}
			if !at.chosen() {
				r, err := standalone.Ask(cmd.Context(), socket)
				if err != nil {
					return fmt.Errorf("status: %w; --cluster asks a cluster", err)
				}
				return printReport(cmd.OutOrStdout(), r, output)
			}
			config, err := at.config()
			if err != nil {
				return err
			}
			r, missing := inspect.Status(cmd.Context(), config, namespace)
			if r == nil {
				return fmt.Errorf("status: %w", missing)
			}
			if err := printReport(cmd.OutOrStdout(), r, output); err != nil {
				return err
			}
			if missing != nil {
				return fmt.Errorf("status: the Envoys of a replica are missing above: %w", missing)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "control socket of the standalone; default: the only one that runs")
	at.addChoice(cmd.Flags())
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace of the operators; default: wherever they are found")
	cmd.MarkFlagsMutuallyExclusive("socket", "cluster")
	outputFlag(cmd, &output, "text", "text", "json", "yaml")
	return cmd
}

func outputFlag(cmd *cobra.Command, output *string, preset string, formats ...string) {
	cmd.Flags().StringVarP(output, "output", "o", preset, fmt.Sprintf("format: one of %v", formats))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(output string, formats ...string) error {
	if slices.Contains(formats, output) {
		return nil
	}
	return fmt.Errorf("--output %q: use one of %v", output, formats)
}

func printReport(w io.Writer, r *report.Report, output string) error {
	switch output {
	case "text":
		return r.WriteText(w)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r) //nolint:wrapcheck // standard output says enough
	}
	b, err := yaml.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing yaml: %w", err)
	}
	_, err = w.Write(b)
	return err //nolint:wrapcheck // standard output says enough
}
