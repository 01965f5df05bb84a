package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/signetproxy/signet/operator/report"
)

// Port is where operators answer, on the loopback address of their pod.
const Port = 8083

// selector finds the operators' pods.
const selector = "app.kubernetes.io/name=signet,app.kubernetes.io/component=operator"

// ErrNoOperator says that no operator runs where it was looked for.
var ErrNoOperator = errors.New("no operator of Signet runs")

// Status asks every operator that runs in a namespace, "" for all namespaces, and
// joins their answers. One that does not answer is left out and its error
// returned beside the report.
func Status(ctx context.Context, config *rest.Config, namespace string) (*report.Report, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("looking for operators: %w", err)
	}
	var (
		replicas []*report.Report
		failed   error
	)
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
			continue
		}
		r, err := ask(ctx, config, client, p)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		replicas = append(replicas, r)
	}
	if len(replicas) == 0 && failed == nil {
		where := "in any namespace"
		if namespace != "" {
			where = "in namespace " + namespace
		}
		failed = fmt.Errorf("%w %s: no running pod has the labels %s", ErrNoOperator, where, selector)
	}
	return report.Merge(replicas), failed
}

// ask asks one pod through a port-forward.
func ask(ctx context.Context, config *rest.Config, client kubernetes.Interface, p *corev1.Pod) (*report.Report, error) {
	name := "pod " + p.Namespace + "/" + p.Name
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("port-forward to %s: %w", name, err)
	}
	url := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(p.Namespace).Name(p.Name).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)

	stop, ready := make(chan struct{}), make(chan struct{})
	forward, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", Port)},
		stop, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, fmt.Errorf("port-forward to %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forward.ForwardPorts() }()
	defer close(stop)
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("port-forward to %s: %w", name, ctx.Err())
	case err := <-ended:
		return nil, fmt.Errorf("port-forward to %s: %w", name, err)
	case <-ready:
	}
	ports, err := forward.GetPorts()
	if err != nil {
		return nil, fmt.Errorf("port-forward to %s: %w", name, err)
	}
	return report.Ask(ctx, name, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	})
}
