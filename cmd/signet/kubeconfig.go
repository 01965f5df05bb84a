package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// clusterFlags say which cluster is meant, as kubectl's flags do.
type clusterFlags struct {
	kubeconfig, context string
	// asked says that a cluster is meant, whatever the other flags are.
	asked bool
}

// plugin is the name by which kubectl finds this binary: `kubectl signet`.
const plugin = "kubectl-signet"

func asPlugin() bool { return filepath.Base(os.Args[0]) == plugin }

// addChoice adds the flags of a command that works without a cluster too.
func (c *clusterFlags) addChoice(f *pflag.FlagSet) {
	f.BoolVar(&c.asked, "cluster", asPlugin(), "ask the cluster of the kubeconfig; so do --kubeconfig and --context")
	c.add(f)
}

// chosen says whether a cluster is meant.
func (c *clusterFlags) chosen() bool { return c.asked || c.kubeconfig != "" || c.context != "" }

func (c *clusterFlags) add(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig; default: $KUBECONFIG, ~/.kube/config, the pod's own account")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig; default: its current one")
}

// config is how the API server is reached.
func (c *clusterFlags) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	out, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		rules, &clientcmd.ConfigOverrides{CurrentContext: c.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	out.QPS = -1 // the API server's own flow control is fairer
	return out, nil
}
