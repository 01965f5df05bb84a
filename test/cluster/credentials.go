package cluster

import (
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/signetproxy/signet/test/cluster/node"
	"github.com/signetproxy/signet/test/pki"
)

// credential is a certificate of the cluster's authority, and a kubeconfig
// with it where one is wanted.
type credential struct {
	file       string
	leaf       pki.Leaf
	kubeconfig bool
}

// year is how long a cluster's certificates last.
const year = 365 * 24 * time.Hour

// credentials are the certificates of all components. Users and groups are
// those that Kubernetes' own roles are bound to.
func credentials(r *node.Ranges) []credential {
	client := func(file, user string, groups ...string) credential {
		return credential{file: file, leaf: pki.Leaf{CommonName: user, Organizations: groups}, kubeconfig: true}
	}
	kubelet := client("kubelet", "system:node:"+node.Name, "system:nodes")
	kubelet.leaf.DNS, kubelet.leaf.IPs = []string{node.Name}, []net.IP{r.Node.Addr().AsSlice()}
	return []credential{
		client("admin", "signet:admin", "system:masters"),
		client("load-balancer", "signet:load-balancer", "system:masters"),
		client("controller-manager", "system:kube-controller-manager"),
		client("scheduler", "system:kube-scheduler"),
		client("proxy", "system:kube-proxy"),
		kubelet,
		{file: "service-accounts", leaf: pki.Leaf{CommonName: "service-accounts"}},
		{file: "apiserver", leaf: pki.Leaf{
			CommonName: "kube-apiserver",
			DNS: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			},
			IPs: []net.IP{
				net.IPv4(127, 0, 0, 1), r.Node.Addr().AsSlice(), r.KubernetesService().AsSlice(),
			},
		}},
	}
}

// writeCredentials makes an authority, which nobody else trusts and whose key
// is on no disk, and all that it signs.
func writeCredentials(state node.Dir, r *node.Ranges) error {
	now := time.Now()
	ca, err := pki.NewAuthorityAt("signet test cluster", now.Add(-time.Hour), now.Add(year))
	if err != nil {
		return err
	}
	if err := os.WriteFile(state.Config("ca.crt"), ca.PEM(), 0o600); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	for _, c := range credentials(r) {
		c.leaf.NotAfter = now.Add(year)
		pair, err := ca.Issue(c.leaf)
		if err != nil {
			return err
		}
		for suffix, pem := range map[string][]byte{".crt": pair.CertPEM, ".key": pair.KeyPEM} {
			if err := os.WriteFile(state.Config(c.file+suffix), pem, 0o600); err != nil {
				return fmt.Errorf("certificate: %w", err)
			}
		}
		if !c.kubeconfig {
			continue
		}
		if err := writeKubeconfig(state.Config(c.file+".kubeconfig"), r.APIServer(), ca.PEM(), pair); err != nil {
			return err
		}
		if c.file == "admin" {
			if err := writeKubeconfig(state.File("kubeconfig"), r.APIServer(), ca.PEM(), pair); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeKubeconfig(file, server string, ca []byte, pair *pki.Pair) error {
	const name = "signet"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	return nil
}
