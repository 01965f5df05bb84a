// Package cluster runs a real Kubernetes of one node on this machine, from
// binaries that the tool modules build: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kubelet with containerd, kube-proxy,
// CoreDNS, and a load balancer. Nothing in it is a mock, and no image registry
// and no container engine is needed. `make cluster-up` starts one, `make
// cluster-down` ends it; a test calls Start.
//
// # What it is made of
//
// All processes run in one new mount, network and PID namespace (package
// node). The host sees one link, signetN, and routes over it to the ranges of
// the pods, Services and load balancers: requests from the host are like those
// of a client outside. Each cluster has a slot N of its own, with a /20 of
// 198.18.0.0/15, the range that RFC 2544 sets aside for tests; up to 32 run
// side by side.
//
//	third byte of the /20   0 to 3  pods
//	                        4, 5    Services; the tenth address is the DNS
//	                        6       load balancers
//	                        7       the link: .1 is the host, .2 the node
//
// Pods hang on links of their own (the CNI plugin ptp), so that everything
// between them is routed: a bridge would need the kernel's br_netfilter for
// Services whose pods are on the same node, as all are here.
//
// A cluster's folder, clusters/NAME in the tools' cache folder, holds all its
// files: kubeconfig, log/, etc/, and what is /var and /run inside.
//
// # What it promises
//
// One SIGKILL of the namespaces' PID 1 ends every process, mount, link and
// iptables rule; Down does that and removes the cgroup and state folders, after
// a crash as well. Up cleans what a crash of the same name has left. A cluster
// that a test started ends with the test's process, however that ends.
//
// It never changes what outlives it: sysctls that the kubelet would set for the
// machine are covered by files, network sysctls are those of the namespace, and
// the host gets no iptables rule and forwards nothing.
//
// # What it needs
//
// Root, Linux, and what `make tool-cluster` installs. A cluster takes about
// 750 MiB and 4 % of a core when idle.
//
// Pods get images only by LoadImage (imagePullPolicy IfNotPresent or Never);
// EchoImage, PauseImage and EnvoyImage are always there. Components can be
// stopped and started for tests of outages: StopComponent, StartComponent. When
// the API server was away for long, clients of it come back late: client-go
// backs off up to a minute.
//
// Nothing answers outside the cluster: its DNS knows the cluster's names alone,
// and the host forwards nothing. An address of the Services' and the load
// balancers' ranges that nothing serves is refused at once. NetworkPolicies are
// taken and not enforced.
package cluster
