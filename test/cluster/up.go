package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/signetproxy/signet/test/cluster/node"
)

// phases tells how long each phase took, and the whole so far.
type phases struct {
	tell        func(string)
	begin, last time.Time
}

func newPhases(tell func(string)) *phases {
	now := time.Now()
	return &phases{tell: tell, begin: now, last: now}
}

func (p *phases) done(what string) {
	now := time.Now()
	p.tell(fmt.Sprintf("%-28s %5.1f s, %5.1f s in all", what, now.Sub(p.last).Seconds(), now.Sub(p.begin).Seconds()))
	p.last = now
}

// up starts the cluster in an empty folder.
func (c *Cluster) up(ctx context.Context, o *Options) error {
	p := newPhases(o.Progress)
	for _, folder := range []string{"bin", "etc", "images", "log"} {
		if err := os.MkdirAll(c.state.File(folder), 0o700); err != nil {
			return fmt.Errorf("folder: %w", err)
		}
	}
	program, err := c.build(ctx)
	if err != nil {
		return err
	}
	p.done("programs built")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.launch(ctx, o, program, cancel); err != nil {
		return err
	}
	p.done("namespaces, link, credentials")

	client, err := c.Client()
	if err != nil {
		return err
	}
	group, inGroup := errgroup.WithContext(ctx)
	group.Go(func() error { return c.loadTestImages(inGroup) })
	group.Go(func() error { return waitFor(inGroup, "the API server", apiServerReady(inGroup, client)) })
	if err := group.Wait(); err != nil {
		return err
	}
	p.done("API server ready, images in")
	manifests, err := os.ReadFile(c.state.Config("coredns.yaml"))
	if err != nil {
		return fmt.Errorf("manifests of CoreDNS: %w", err)
	}
	if err := c.Apply(ctx, string(manifests)); err != nil {
		return err
	}
	if err := waitFor(ctx, "a Ready node", nodeReady(ctx, client)); err != nil {
		return err
	}
	p.done("node Ready")
	if err := waitFor(ctx, "ready CoreDNS", deploymentReady(ctx, client, "kube-system", "coredns")); err != nil {
		return err
	}
	// Ready it may be before kube-proxy leads to it.
	if err := waitFor(ctx, "an answer of the cluster's DNS", dnsAnswers(ctx, c.record.Ranges)); err != nil {
		return err
	}
	p.done("CoreDNS Ready, DNS answers")
	c.record.Ready = true
	return c.remember()
}

// launch starts the node. If it ends, so does the context.
func (c *Cluster) launch(ctx context.Context, o *Options, program string, cancel context.CancelCauseFunc) error {
	init, lifeline, err := start(program, c.state)
	if err != nil {
		return err
	}
	c.ended, c.lifeline, c.record.PID = make(chan struct{}), lifeline, init.Process.Pid
	go func() {
		defer close(c.ended)
		cancel(fmt.Errorf("the node ended, see its logs: %w", init.Wait()))
	}()
	if err := c.remember(); err != nil {
		return err
	}
	if err := c.connect(ctx); err != nil {
		return err
	}
	spec := &node.Spec{
		Ranges: c.record.Ranges, State: c.state, Command: program, Tools: c.layout.nodeTools(),
		CgroupRoot: c.cgroupRoot(), APIServerFlags: o.APIServerFlags, Tied: o.tied,
	}
	err = errors.Join(
		makeCgroups(spec.CgroupRoot),
		writeCredentials(c.state, &spec.Ranges),
		writeSettings(c.layout, spec),
		spec.Write(),
	)
	if err != nil {
		return err
	}
	if _, err := lifeline.WriteString("!"); err != nil {
		return fmt.Errorf("go-ahead: %w", err)
	}
	if o.tied {
		return nil
	}
	c.lifeline = nil
	return lifeline.Close()
}

func apiServerReady(ctx context.Context, client kubernetes.Interface) func() error {
	return func() error {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	}
}

func nodeReady(ctx context.Context, client kubernetes.Interface) func() error {
	return func() error {
		n, err := client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		err = errors.New("the node says nothing of itself yet")
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return nil
			}
			if c.Type == corev1.NodeReady {
				err = fmt.Errorf("the node is not Ready: %s", strings.TrimSpace(c.Message))
			}
		}
		return err
	}
}

func deploymentReady(ctx context.Context, client kubernetes.Interface, namespace, name string) func() error {
	return func() error {
		d, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		s := d.Status
		if s.ObservedGeneration < d.Generation || s.UpdatedReplicas < want || s.ReadyReplicas < want || s.Replicas > want {
			return fmt.Errorf("workload %s/%s: %d of %d pods are ready%s", namespace, name, s.ReadyReplicas, want, conditions(d))
		}
		return nil
	}
}

// dnsAnswers asks the DNS, as pods do by its Service, for the API server's.
func dnsAnswers(ctx context.Context, r node.Ranges) func() error {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: time.Second}
		return d.DialContext(ctx, network, netip.AddrPortFrom(r.DNS(), 53).String())
	}}
	return func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		found, err := resolver.LookupNetIP(ctx, "ip4", "kubernetes.default.svc.cluster.local.")
		if err == nil && !slices.Contains(found, r.KubernetesService()) {
			err = fmt.Errorf("the DNS says that the API server's Service is at %v, not %s", found, r.KubernetesService())
		}
		return err
	}
}

func conditions(d *appsv1.Deployment) string {
	var out strings.Builder
	for _, c := range d.Status.Conditions {
		if c.Status != corev1.ConditionTrue || c.Type == appsv1.DeploymentReplicaFailure {
			fmt.Fprintf(&out, "; %s: %s", c.Type, c.Message)
		}
	}
	return out.String()
}
