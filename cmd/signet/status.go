package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/standalone"
)

func newStatus() *cobra.Command {
	var socket, output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running standalone serves, and how each backend is verified",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "text", "json", "yaml"); err != nil {
				return err
			}
			r, err := standalone.Ask(cmd.Context(), socket)
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			return printReport(cmd.OutOrStdout(), r, output)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "control socket of the standalone; default: the only one that runs")
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
