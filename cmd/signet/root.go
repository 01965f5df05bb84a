package main

import (
	"fmt"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logOptions are the flags of logging.
type logOptions struct {
	format string
	debug  bool
}

func newRoot() *cobra.Command {
	var log logOptions
	root := &cobra.Command{
		Use:   "signet",
		Short: "Seals the last hop: from Envoy to a TLS backend",
		Long: "Signet translates HTTPProxy and Gateway API objects for Envoy and delivers\n" +
			"them to its own Envoys alone.",
		SilenceUsage: true, SilenceErrors: true,
	}
	if asPlugin() {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl signet"}
	}
	root.PersistentFlags().StringVar(&log.format, "log-format", "console", "format of the log on standard error: console or json")
	root.PersistentFlags().BoolVar(&log.debug, "debug", false, "log what is only of interest when something is wrong")
	root.AddCommand(newOperator(&log), newEnvoy(), newStandalone(&log), newTranslate(&log), newStatus(), newVersion())
	return root
}

// logger makes the logger that the flags ask for.
func (o *logOptions) logger() (logr.Logger, error) {
	var c zap.Config
	switch o.format {
	case "json":
		c = zap.NewProductionConfig()
		c.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	case "console":
		c = zap.NewDevelopmentConfig()
		c.Level.SetLevel(zap.InfoLevel)
		c.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		c.DisableCaller = true
	default:
		return logr.Logger{}, fmt.Errorf("--log-format %q: use console or json", o.format)
	}
	c.DisableStacktrace, c.Sampling = true, nil
	if o.debug {
		c.Level.SetLevel(zap.DebugLevel)
	}
	z, err := c.Build()
	if err != nil {
		return logr.Logger{}, fmt.Errorf("setting up the log: %w", err)
	}
	return zapr.NewLogger(z), nil
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err //nolint:wrapcheck // standard output says enough
		},
	}
}
