package node

import (
	"fmt"
	"slices"
)

// Names of the components, as in Stop and Start.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Containerd        = "containerd"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
	LoadBalancer      = "load-balancer"
)

// component is one process of the node.
type component struct {
	name string
	argv []string
}

// early are the components that the API server's readiness waits for, itself
// included; late are its clients, which would only back off without it.
func early(s *Spec) []component {
	return []component{
		{Etcd, []string{
			"etcd", "--name=etcd", "--data-dir=" + s.State.File("etcd"), "--log-level=warn",
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=etcd=http://127.0.0.1:2380",
			// What a test cluster knows need not outlive the machine.
			"--unsafe-no-fsync",
		}},
		{APIServer, apiServer(s)},
		{Containerd, []string{"containerd", "--config=" + s.State.Config("containerd.toml")}},
	}
}

func apiServer(s *Spec) []string {
	node := s.Ranges.Node.Addr().String()
	return append([]string{
		"kube-apiserver", "--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=" + node, "--advertise-address=" + node, "--secure-port=6443",
		"--tls-cert-file=" + s.State.Config("apiserver.crt"), "--tls-private-key-file=" + s.State.Config("apiserver.key"),
		// No request-header flags: with the same authority in both it refuses to
		// start, and nothing here aggregates APIs.
		"--client-ca-file=" + s.State.Config("ca.crt"),
		"--kubelet-certificate-authority=" + s.State.Config("ca.crt"),
		"--kubelet-client-certificate=" + s.State.Config("admin.crt"), "--kubelet-client-key=" + s.State.Config("admin.key"),
		// The node's name resolves nowhere.
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + s.State.Config("service-accounts.crt"),
		"--service-account-signing-key-file=" + s.State.Config("service-accounts.key"),
		"--service-cluster-ip-range=" + s.Ranges.Services.String(),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--profiling=false",
	}, s.APIServerFlags...)
}

func late(s *Spec) []component {
	return []component{
		{ControllerManager, []string{
			"kube-controller-manager", "--kubeconfig=" + s.State.Config("controller-manager.kubeconfig"),
			"--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials=true",
			"--root-ca-file=" + s.State.Config("ca.crt"),
			"--service-account-private-key-file=" + s.State.Config("service-accounts.key"),
			// It has no lease to lose, so an outage of the API server leaves it with
			// an old view, by which the only node and all of its pods are dead.
			"--node-monitor-grace-period=1h",
			// With its own limits it needs five seconds to start.
			"--kube-api-qps=500", "--kube-api-burst=1000",
		}},
		{Scheduler, []string{
			"kube-scheduler", "--kubeconfig=" + s.State.Config("scheduler.kubeconfig"),
			"--bind-address=127.0.0.1", "--leader-elect=false",
		}},
		{Kubelet, []string{
			"kubelet", "--config=" + s.State.Config("kubelet.yaml"), "--kubeconfig=" + s.State.Config("kubelet.kubeconfig"),
			"--hostname-override=" + Name, "--node-ip=" + s.Ranges.Node.Addr().String(),
		}},
		{Proxy, []string{"kube-proxy", "--config=" + s.State.Config("kube-proxy.yaml")}},
		{LoadBalancer, []string{
			s.Command, LoadBalancerCommand,
			"--kubeconfig=" + s.State.Config("load-balancer.kubeconfig"), "--pool=" + s.Ranges.LoadBalancers.String(),
		}},
	}
}

// find gives the component of a name, or says which there are.
func find(all []*process, name string) (*process, error) {
	names := make([]string, 0, len(all))
	for _, p := range all {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("no component is called %q; there are %v", name, names)
}
