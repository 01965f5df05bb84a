package bootstrap_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/provisioner/bootstrap"
	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

var update = flag.Bool("update", false, "write the golden files")

func config() bootstrap.Config {
	return bootstrap.Config{
		Fleet:             ir.Name{Namespace: "edge", Name: "public"},
		NodeID:            "public-0",
		XDSAddress:        "127.0.0.1:18000",
		ServerName:        "xds.signet.internal",
		CertificateFolder: "/run/signet",
		AdminSocket:       "/run/signet/admin.sock",
	}
}

func with(change func(*bootstrap.Config)) bootstrap.Config {
	c := config()
	change(&c)
	return c
}

func TestBootstrap(t *testing.T) {
	cases := map[string]struct {
		reason string
		config bootstrap.Config
	}{
		"plain": {
			reason: "the defaults, with the control plane at an IP address and an admin socket",
			config: config(),
		},
		"full": {
			reason: "a host name is resolved, the heap is bounded, and there is no admin interface",
			config: with(func(c *bootstrap.Config) {
				c.XDSAddress = "signet.signet-system.svc:18000"
				c.AdminSocket = ""
				c.MaxHeapBytes = 1 << 30
				c.MaxConnections = 1000
			}),
		},
		"pod": {
			reason: "readiness and metrics are answered over TCP, and nothing else of the admin interface",
			config: with(func(c *bootstrap.Config) { c.StatusAddress, c.StatusPort = "192.0.2.1", 19001 }),
		},
		"ipv6": {
			reason: "an IPv6 address loses its brackets",
			config: with(func(c *bootstrap.Config) { c.XDSAddress = "[::1]:18000" }),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := bootstrap.Bootstrap(tc.config)
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			again, err := bootstrap.Bootstrap(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), string(again)); diff != "" {
				t.Errorf("equal configs give equal bytes (-first, +second):\n%s", diff)
			}
			golden := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestBootstrapRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*bootstrap.Config)
		field  string
	}{
		"no fleet":         {"an Envoy belongs to a fleet", func(c *bootstrap.Config) { c.Fleet.Name = "" }, "Fleet.Name"},
		"no namespace":     {"a fleet has a namespace", func(c *bootstrap.Config) { c.Fleet.Namespace = "" }, "Fleet.Namespace"},
		"no node":          {"Envoys of a fleet are told apart", func(c *bootstrap.Config) { c.NodeID = "" }, "NodeID"},
		"no server name":   {"without it any server of the authority would pass", func(c *bootstrap.Config) { c.ServerName = "" }, "ServerName"},
		"no port":          {"the address has two parts", func(c *bootstrap.Config) { c.XDSAddress = "localhost" }, "XDSAddress"},
		"port 0":           {"nothing listens at port 0", func(c *bootstrap.Config) { c.XDSAddress = "localhost:0" }, "XDSAddress"},
		"port too large":   {"ports have 16 bits", func(c *bootstrap.Config) { c.XDSAddress = "localhost:70000" }, "XDSAddress"},
		"no host":          {"a wildcard is not an address to connect to", func(c *bootstrap.Config) { c.XDSAddress = ":18000" }, "XDSAddress"},
		"relative folder":  {"Envoy may run elsewhere", func(c *bootstrap.Config) { c.CertificateFolder = "tls" }, "CertificateFolder"},
		"relative socket":  {"Envoy may run elsewhere", func(c *bootstrap.Config) { c.AdminSocket = "admin.sock" }, "AdminSocket"},
		"long socket path": {"the kernel would cut it", func(c *bootstrap.Config) { c.AdminSocket = "/" + strings.Repeat("a", 104) }, "AdminSocket"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := bootstrap.Bootstrap(with(tc.change))
			if !errors.Is(err, bootstrap.ErrConfig) || !strings.Contains(err.Error(), tc.field) {
				t.Errorf("%s: got error %v, want ErrConfig that names %s", tc.reason, err, tc.field)
			}
		})
	}
}

// TestEnvoyAccepts lets the real Envoy judge all that this package renders.
func TestEnvoyAccepts(t *testing.T) {
	envoy := findEnvoy(t)
	keeper, err := certificate.NewKeeper(certificate.KeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := keeper.Watch(ir.Name{Namespace: "edge", Name: "public"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := id.KeyPair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		write  func(t *testing.T, folder string)
		full   bool
	}{
		"inline": {
			reason: "a child process gets PEM inside the SDS files",
			write: func(t *testing.T, folder string) {
				write(t, folder, bootstrap.IdentityFile)(bootstrap.Identity(id.KeyPair.CertificatePEM(), key))
				write(t, folder, bootstrap.TrustFile)(bootstrap.Trust(id.TrustPEM))
			},
		},
		"mounted": {
			reason: "a pod gets a mounted Secret beside the SDS files",
			write: func(t *testing.T, folder string) {
				write(t, folder, bootstrap.IdentityFile)(bootstrap.IdentityOf(folder))
				write(t, folder, bootstrap.TrustFile)(bootstrap.TrustOf(folder))
				write(t, folder, "tls.crt")(id.KeyPair.CertificatePEM(), nil)
				write(t, folder, "tls.key")(key, nil)
				write(t, folder, "ca.crt")(id.TrustPEM, nil)
			},
			full: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			tc.write(t, folder)
			write(t, folder, "envoy.json")(bootstrap.Bootstrap(with(func(c *bootstrap.Config) {
				c.CertificateFolder = folder
				c.ServerName = id.ServerName
				c.AdminSocket = ""
				if tc.full {
					c.MaxHeapBytes, c.MaxConnections = 1<<30, 1000
				}
			})))
			out, err := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "-l", "warning",
				"--reject-unknown-dynamic-fields", "-c", filepath.Join(folder, "envoy.json")).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", tc.reason, err, out)
			}
			if warnings := strings.Count(string(out), "[warning]"); warnings > 0 {
				t.Errorf("%s: Envoy warns:\n%s", tc.reason, out)
			}
		})
	}
}

func TestSecretsAreNamedAsTheBootstrapAsks(t *testing.T) {
	b, err := bootstrap.Trust([]byte("PEM"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Resources []struct {
			Type string `json:"@type"`
			Name string
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Resources) != 1 || got.Resources[0].Name != "trust" ||
		got.Resources[0].Type != "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret" {
		t.Errorf("got %+v, want one Secret named trust", got)
	}
}

func write(t *testing.T, folder, name string) func([]byte, error) {
	t.Helper()
	return func(content []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func findEnvoy(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SIGNET_ENVOY")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(cache, "signet", "tools", "envoy-1.40.0", "envoy")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this test needs Envoy: %v; run make tools, or set $SIGNET_ENVOY", err)
	}
	return path
}
