package smoke

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/cluster"
	"github.com/signetproxy/signet/test/cluster/node"
	"github.com/signetproxy/signet/test/pki"
)

// TestCluster follows one cluster from its start to the traces that it must
// not leave; a second one runs, crashes and comes back beside it.
func TestCluster(t *testing.T) {
	sysctls := machine(t)
	must(t, cluster.Down(t.Context(), "smoke-1")) // of a run that was killed
	first, err := cluster.Up(t.Context(), options(t, "smoke-1"))
	must(t, err)
	defer end(t, first) // if a step fails
	left := traces(t, first)

	t.Run("Traffic", func(t *testing.T) { traffic(t, first) })
	t.Run("LoadBalancer", func(t *testing.T) { loadBalancer(t, first) })
	t.Run("Outage", func(t *testing.T) { outage(t, first) })
	t.Run("Beside", func(t *testing.T) { beside(t, first) })
	t.Run("Orphan", func(t *testing.T) { orphan(t, first) })

	if err := first.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	left.gone(t)
	if diff := cmp.Diff(sysctls, machine(t)); diff != "" {
		t.Errorf("the machine's sysctls have changed, -before, +after:\n%s", diff)
	}
}

func options(t *testing.T, name string) cluster.Options {
	t.Helper()
	return cluster.Options{Name: name, Progress: func(line string) { t.Logf("%s: %s", name, line) }}
}

func end(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if t.Failed() {
		t.Log(c.Tails())
	}
	// The test's context may have ended.
	if err := c.Down(context.Background()); err != nil {
		t.Error(err)
	}
}

// traffic goes from the host through an Envoy in a pod to a backend that
// demands a client certificate.
func traffic(t *testing.T, c *cluster.Cluster) {
	began := time.Now()
	apply(t, c, secrets(t)+manifests(cluster.EchoImage, c.EnvoyImage()))
	envoy, echo := address(t, c, "envoy"), address(t, c, "echo")
	seen := get(t, "http://"+envoy+"/path")
	t.Logf("answered through Envoy %.1f s after apply", time.Since(began).Seconds())
	got := []any{seen.TLS, seen.TLSVersion, seen.SNI, seen.ClientSubject, seen.Path}
	if diff := cmp.Diff([]any{true, "TLS 1.3", "echo.example", "CN=envoy", "/path"}, got); diff != "" {
		t.Errorf("what the backend saw of Envoy's request, -want, +got:\n%s", diff)
	}
	if seen := get(t, "http://"+echo+"/"); seen.TLS {
		t.Error("the backend's cleartext port saw TLS")
	}
	_, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", echo+":443",
		&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		t.Error("the backend took a handshake without a client certificate")
	}
	if connections := text(t, "http://"+echo+":9090/connections"); connections == "0\n" {
		t.Error("the backend counted no connection")
	}
	pods, err := client(t, c).CoreV1().Pods("smoke").List(t.Context(), metav1.ListOptions{LabelSelector: "app=echo"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("pods of echo: %v, %d", err, len(pods.Items))
	}
	if ok := text(t, "http://"+pods.Items[0].Status.PodIP+":9090/healthz"); ok != "ok\n" {
		t.Errorf("the host asks a pod itself: %q", ok)
	}
}

// loadBalancer asks for an address, takes the type away, and restarts the
// controller, which must not give a taken address to who comes then.
func loadBalancer(t *testing.T, c *cluster.Cluster) {
	services := client(t, c).CoreV1().Services("smoke")
	pool := c.Ranges().LoadBalancers.Addr().As4()
	asked := net.IPv4(pool[0], pool[1], pool[2], 77).String()
	refused(t, asked)
	virtual := c.Ranges().Services.Addr().As4()
	refused(t, net.IPv4(virtual[0], virtual[1], virtual[2]+1, 254).String()) // of no Service
	create := func(name, asked string) {
		_, err := services.Create(t.Context(), &corev1.Service{
			Name: name,
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeLoadBalancer, LoadBalancerIP: asked, Ports: []corev1.ServicePort{{Port: 80}},
			},
		}, metav1.CreateOptions{})
		must(t, err)
	}
	create("asked", asked)
	if got := address(t, c, "asked"); got != asked {
		t.Errorf("a Service asked for %s and got %s", asked, got)
	}
	_, err := services.Patch(t.Context(), "asked", "application/merge-patch+json",
		[]byte(`{"spec":{"type":"ClusterIP","loadBalancerIP":null}}`), metav1.PatchOptions{})
	must(t, err)
	eventually(t, func() error {
		s, err := services.Get(t.Context(), "asked", metav1.GetOptions{})
		if err == nil && ingress(s) != "" {
			err = fmt.Errorf("a Service that has no load balancer any more has the address %s", ingress(s))
		}
		return err
	})

	before := []string{address(t, c, "echo"), address(t, c, "envoy")}
	must(t, c.StopComponent(t.Context(), node.LoadBalancer))
	create("late", "")
	must(t, c.StartComponent(t.Context(), node.LoadBalancer))
	if late := address(t, c, "late"); slices.Contains(before, late) {
		t.Errorf("after its restart the controller gave a taken address, %s", late)
	}
	if diff := cmp.Diff(before, []string{address(t, c, "echo"), address(t, c, "envoy")}); diff != "" {
		t.Errorf("the controller's restart changed addresses, -before, +after:\n%s", diff)
	}
	get(t, "http://"+before[1]+"/")
}

// outage takes the API server away, which traffic does not notice.
func outage(t *testing.T, c *cluster.Cluster) {
	envoy := address(t, c, "envoy")
	must(t, c.StopComponent(t.Context(), node.APIServer))
	down := &http.Client{Timeout: 2 * time.Second}
	answer, err := down.Get(c.Ranges().APIServer() + "/readyz")
	if err == nil {
		_ = answer.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the API server is stopped, and says: %v", err)
	}
	get(t, "http://"+envoy+"/")
	must(t, c.StartComponent(t.Context(), node.APIServer))
	eventually(t, func() error {
		_, err := client(t, c).Discovery().ServerVersion()
		return err
	})
}

// beside starts a second cluster, kills it as a crash would, starts it again
// and ends it; the first one serves all the while.
func beside(t *testing.T, first *cluster.Cluster) {
	second := cluster.Start(t, options(t, "smoke-2"))
	if first.Ranges() == second.Ranges() {
		t.Errorf("two clusters have the same addresses: %+v", first.Ranges())
	}
	if _, err := cluster.Up(t.Context(), options(t, "smoke-2")); err == nil {
		t.Error("a cluster that runs was started again")
	}
	crashed := traces(t, second)
	must(t, syscall.Kill(second.PID(), syscall.SIGKILL))
	eventually(t, crashed.ended)
	again := cluster.Start(t, options(t, "smoke-2"))
	left := traces(t, again)
	get(t, "http://"+address(t, first, "envoy")+"/")
	must(t, again.Down(t.Context()))
	left.gone(t)
}

// orphan lets a process start a cluster for a test and die of SIGKILL: what it
// started ends by itself, and the next test removes the rest.
func orphan(t *testing.T, first *cluster.Cluster) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOrphan$", "-test.v")
	cmd.Env = append(os.Environ(), orphanVariable+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the process that was to die of SIGKILL: %v\n%s", err, out)
	}
	third, err := cluster.Open(fmt.Sprintf("test-%d", cmd.Process.Pid))
	must(t, err)
	eventually(t, func() error {
		if err := syscall.Kill(third.PID(), 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d of a cluster without a test is still there: %w", third.PID(), err)
		}
		return nil
	})
	link, err := net.InterfaceByName(third.Link())
	if err != nil {
		link = &net.Interface{Name: third.Link()} // the kernel was quick
	}
	must(t, cluster.Sweep(t.Context()))
	left := trace{folder: third.Folder(), link: link}
	left.cgroups, err = third.Cgroups()
	must(t, err)
	left.gone(t)
	get(t, "http://"+address(t, first, "envoy")+"/")
}

// orphanVariable tells a process that orphan has started it.
const orphanVariable = "SIGNET_TEST_ORPHAN"

// TestOrphan is the process that orphan starts; there is nothing to test in
// another one.
func TestOrphan(t *testing.T) {
	if os.Getenv(orphanVariable) == "" {
		return
	}
	traces(t, cluster.Start(t, cluster.Options{}))
	must(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
	<-t.Context().Done() // not reached
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience is how long something that must happen may take.
const patience = time.Minute

// eventually tries until it succeeds.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not within %s: %v", patience, err)
		case <-tick.C:
		}
	}
}

func client(t *testing.T, c *cluster.Cluster) *kubernetes.Clientset {
	t.Helper()
	client, err := c.Client()
	must(t, err)
	return client
}

func apply(t *testing.T, c *cluster.Cluster, manifests string) {
	t.Helper()
	must(t, c.Apply(t.Context(), manifests))
}

func ingress(s *corev1.Service) string {
	if len(s.Status.LoadBalancer.Ingress) == 0 {
		return ""
	}
	return s.Status.LoadBalancer.Ingress[0].IP
}

// address waits for the address of a Service of the smoke namespace.
func address(t *testing.T, c *cluster.Cluster, service string) (address string) {
	t.Helper()
	eventually(t, func() error {
		s, err := client(t, c).CoreV1().Services("smoke").Get(t.Context(), service, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if address = ingress(s); address == "" {
			return fmt.Errorf("Service %s has no address", service)
		}
		return nil
	})
	return address
}

// text waits until a request is answered with 200, and gives the answer.
func text(t *testing.T, url string) (body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	eventually(t, func() error {
		answer, err := client.Get(url)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		content, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s: %s: %w", url, answer.Status, content, err)
		}
		body = string(content)
		return nil
	})
	return body
}

// get waits until a backend answers, and gives what it saw.
func get(t *testing.T, url string) *backend.Request {
	t.Helper()
	seen := &backend.Request{}
	must(t, json.Unmarshal([]byte(text(t, url)), seen))
	return seen
}

// refused tells whether connections to an address are refused at once.
func refused(t *testing.T, address string) {
	t.Helper()
	for range 20 {
		conn, err := net.DialTimeout("tcp", address+":80", 5*time.Second)
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Fatalf("connection to the unused address %s: %v, want it refused", address, err)
		}
	}
}

// secrets are the TLS material of Envoy and its backend, with one authority.
func secrets(t *testing.T) string {
	t.Helper()
	ca, err := pki.NewAuthority("smoke")
	must(t, err)
	var out strings.Builder
	fmt.Fprint(&out, "apiVersion: v1\nkind: Namespace\nmetadata: {name: smoke}\n")
	for name, leaf := range map[string]pki.Leaf{
		"echo": {CommonName: "echo", DNS: []string{"echo.example"}}, "envoy": {CommonName: "envoy"},
	} {
		pair, err := ca.Issue(leaf)
		must(t, err)
		secret, err := yaml.Marshal(&corev1.Secret{
			APIVersion: "v1", Kind: "Secret", Namespace: "smoke", Name: name,
			Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{"ca.crt": ca.PEM(), "tls.crt": pair.CertPEM, "tls.key": pair.KeyPEM},
		})
		must(t, err)
		out.WriteString("---\n" + string(secret))
	}
	return out.String() + "---\n"
}

// machine is what the kubelet would set for the whole machine.
func machine(t *testing.T) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, name := range []string{
		"kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops",
		"vm/overcommit_memory", "vm/panic_on_oom", "net/ipv4/ip_forward", "net/ipv4/icmp_ratelimit",
	} {
		if value, err := os.ReadFile("/proc/sys/" + name); err == nil {
			values[name] = string(value)
		}
	}
	return values
}
