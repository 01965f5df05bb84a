package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/test/cluster/node"
)

// WriteStatus writes what a person wants to know of the cluster. It fails when
// the cluster does not run or its API server does not answer.
func (c *Cluster) WriteStatus(ctx context.Context, out io.Writer) error {
	lives, err := alive(c.state)
	if err != nil {
		return err
	}
	if !lives {
		return fmt.Errorf("cluster %s ended by itself: make cluster-down removes what is left, %s has its logs", c.Name(), c.Logs())
	}
	text := &strings.Builder{}
	err = c.describe(ctx, text)
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, written := columns.Write([]byte(text.String()))
	return errors.Join(err, written, columns.Flush())
}

// describe writes what it can find out, and fails with what it cannot.
func (c *Cluster) describe(ctx context.Context, w *strings.Builder) error {
	r := c.Ranges()
	fmt.Fprintf(w, "cluster\t%s\nready\t%t\nPID 1\t%d\nlink\t%s\n", c.Name(), c.record.Ready, c.record.PID, link(c.record.Slot))
	fmt.Fprintf(w, "pods\t%s\nServices\t%s\nload balancers\t%s\n", r.Pods, r.Services, r.LoadBalancers)
	fmt.Fprintf(w, "API server\t%s\nKUBECONFIG\t%s\nlogs\t%s\n\n", r.APIServer(), c.Kubeconfig(), c.Logs())
	states, err := c.Components(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		switch {
		case s.PID != 0:
			fmt.Fprintf(w, "%s\truns, PID %d inside, ended %d times\n", s.Name, s.PID, s.Ends)
		case s.Stopped:
			fmt.Fprintf(w, "%s\tstopped\n", s.Name)
		default:
			fmt.Fprintf(w, "%s\tended, is started again\n", s.Name)
		}
	}
	client, err := c.Client()
	if err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("cluster %s: its pods: %w", c.Name(), err)
	}
	fmt.Fprintln(w)
	for i := range pods.Items {
		p := &pods.Items[i]
		fmt.Fprintf(w, "%s/%s\t%s\t%s\n", p.Namespace, p.Name, p.Status.Phase, p.Status.PodIP)
	}
	return nil
}

// Components say what each component of the node does.
func (c *Cluster) Components(ctx context.Context) ([]node.State, error) {
	answer, err := c.control(ctx, http.MethodGet, "/components")
	if err != nil {
		return nil, err
	}
	var states []node.State
	if err := json.Unmarshal(answer, &states); err != nil {
		return nil, fmt.Errorf("cluster %s: its components: %w", c.Name(), err)
	}
	return states, nil
}

// StopComponent kills a component (a constant of package node) as a crash
// would, and keeps it down until StartComponent.
func (c *Cluster) StopComponent(ctx context.Context, name string) error {
	_, err := c.control(ctx, http.MethodPost, "/components/"+name+"/stop")
	return err
}

// StartComponent starts a component that was stopped. It does not wait until
// that serves.
func (c *Cluster) StartComponent(ctx context.Context, name string) error {
	_, err := c.control(ctx, http.MethodPost, "/components/"+name+"/start")
	return err
}

// control asks the node's control server.
func (c *Cluster) control(ctx context.Context, method, path string) ([]byte, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", c.state.Control())
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, method, "http://node"+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.Name(), err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: its node: %w", c.Name(), err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: its node: %w", c.Name(), err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cluster %s: its node: %s", c.Name(), strings.TrimSpace(string(body)))
	}
	return body, nil
}
