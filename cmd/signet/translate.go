package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetproxy/signet/operator/standalone"
)

func newTranslate() *cobra.Command {
	var from, output string
	cmd := &cobra.Command{
		Use:   "translate",
		Short: "Print the statuses and Envoy resources of manifests, without running anything",
		Long: "Translates a folder, a file or standard input once and prints what Envoy\n" +
			"would get and what each object's status would say. Private keys are redacted.\n\n" +
			"Exit code 1 says that an object is invalid or could not be read.",
		Example: "  signet translate -f ./manifests -o yaml\n  kubectl get httpproxies,services,secrets -o yaml | signet translate -f -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "text", "json", "yaml"); err != nil {
				return err
			}
			r, err := standalone.Translate(from, cmd.InOrStdin(), time.Now())
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
	cmd.Flags().StringVarP(&from, "from", "f", "", "folder, file, or - for standard input (required)")
	_ = cmd.MarkFlagRequired("from") // the flag exists
	outputFlag(cmd, &output, "yaml", "yaml", "json", "text")
	return cmd
}
