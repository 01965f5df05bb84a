// Command cmd starts, ends and shows test clusters: see package cluster. It is
// also the program that runs inside them.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/signetproxy/signet/test/cluster"
	"github.com/signetproxy/signet/test/cluster/loadbalancer"
	"github.com/signetproxy/signet/test/cluster/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster: "+err.Error())
		os.Exit(1)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use: "cluster", Short: "Run a real Kubernetes of one node for tests",
		SilenceUsage: true, SilenceErrors: true,
	}
	name := c.PersistentFlags().String("name", cluster.DefaultName, "name of the cluster")
	c.AddCommand(up(name), down(name), status(name), kubeconfig(name), loadImage(name), component(name, "stop"),
		component(name, "start"), images(), inside(node.InitCommand, func(_ context.Context, d node.Dir) error { return node.Init(d) }),
		inside(node.NodeCommand, node.Run), balance())
	return c
}

func up(name *string) *cobra.Command {
	var flags []string
	c := &cobra.Command{
		Use: "up", Short: "Start a cluster", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			up, err := cluster.Up(c.Context(), cluster.Options{
				Name: *name, APIServerFlags: flags,
				Progress: func(line string) { say(c, "cluster: %s", line) },
			})
			if err != nil {
				return err
			}
			say(c, "cluster: %s is up: export KUBECONFIG=%s", *name, up.Kubeconfig())
			return nil
		},
	}
	c.Flags().StringArrayVar(&flags, "apiserver-flag", nil, "one more flag of kube-apiserver, as --feature-gates=X=true")
	return c
}

func down(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End a cluster and remove all of it", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return cluster.Down(c.Context(), *name) },
	}
}

func status(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say what a cluster does", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			return found.WriteStatus(c.Context(), c.OutOrStdout())
		},
	}
}

func kubeconfig(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of a cluster's kubeconfig", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			say(c, "%s", found.Kubeconfig())
			return nil
		},
	}
}

func loadImage(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "load-image ARCHIVE...", Short: "Import image archives into a cluster's node", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, archives []string) error {
			found, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			for _, archive := range archives {
				if err := found.LoadImage(c.Context(), archive); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func component(name *string, action string) *cobra.Command {
	return &cobra.Command{
		Use: action + " COMPONENT", Short: "For outages: " + action + " one component of a cluster", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			found, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			if action == "stop" {
				return found.StopComponent(c.Context(), args[0])
			}
			return found.StartComponent(c.Context(), args[0])
		},
	}
}

func images() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "images", Short: "Write the archives of the test bed's images", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			scratch, err := os.MkdirTemp("", "signet-images-")
			if err != nil {
				return fmt.Errorf("scratch folder: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
			return cluster.WriteImages(c.Context(), output, scratch, func(file, name, digest string) {
				say(c, "%s %s@%s", file, name, digest)
			})
		},
	}
	c.Flags().StringVar(&output, "output", "bin/images", "folder that the archives are written to")
	return c
}

// inside is a command that the program runs itself as, in the namespaces.
func inside(name string, run func(context.Context, node.Dir) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " FOLDER", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return run(c.Context(), node.Dir(args[0])) },
	}
}

// balance is the load balancer, which runs in the namespaces too.
func balance() *cobra.Command {
	var file, pool string
	c := &cobra.Command{
		Use: node.LoadBalancerCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", file)
			if err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			config.QPS = -1 // no client-side limit
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("client: %w", err)
			}
			prefix, err := netip.ParsePrefix(pool)
			if err != nil {
				return fmt.Errorf("pool: %w", err)
			}
			controller := loadbalancer.Controller{Client: client, Pool: prefix}
			return controller.Run(c.Context())
		},
	}
	c.Flags().StringVar(&file, "kubeconfig", "", "how to reach the API server")
	c.Flags().StringVar(&pool, "pool", "", "addresses to give out, as a prefix")
	return c
}

// say prints a line of the command's answer.
func say(c *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(c.OutOrStdout(), format+"\n", args...) // who asked is gone
}
