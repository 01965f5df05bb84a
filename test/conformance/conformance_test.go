package conformance

import (
	"flag"
	"os"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/conformance"
	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"

	"github.com/signetproxy/signet/test/cluster"
)

var (
	clusterName = flag.String("cluster", "", "name of a running cluster to use; empty starts one and ends it")
	keep        = flag.Bool("keep", false, "use the Signet that the cluster has, with what it was built from")
)

// TestConformance runs the suite of the Gateway API as it is. All of its own
// flags count; without --supported-features it takes what the GatewayClass's
// status claims.
func TestConformance(t *testing.T) {
	var c *cluster.Cluster
	if *clusterName == "" {
		c = cluster.Start(t, cluster.Options{})
	} else {
		found, err := cluster.Open(*clusterName)
		if err != nil {
			t.Fatal(err)
		}
		c = found
	}
	if !*keep {
		provision(t, c)
	}
	if err := os.Setenv("KUBECONFIG", c.Kubeconfig()); err != nil { //nolint:usetesting // the suite's own clean-up needs it
		t.Fatal(err)
	}
	o := conformance.DefaultOptions(t)
	o.GatewayClassName = className
	o.UsableNetworkAddresses = []gatewayv1.GatewaySpecAddress{usable(c)}
	o.UnusableNetworkAddresses = []gatewayv1.GatewaySpecAddress{unusable()}
	o.Implementation = confv1.Implementation{
		Organization: "signetproxy", Project: "signet", URL: "https://github.com/signetproxy/signet",
		Version: o.Implementation.Version, Contact: []string{"https://github.com/signetproxy/signet/issues"},
	}
	if o.Implementation.Version == "" {
		o.Implementation.Version = "main"
	}
	conformance.RunConformanceWithOptions(t, o)
}
