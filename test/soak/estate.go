package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/soak/model"
	"github.com/signetproxy/signet/test/world"
)

// The backends. Those called traps see no request, whatever the manifests are.
var (
	cleartextBackends = []string{"plain0", "plain1"}
	tlsBackends       = []string{"tls0", "tls1", "tls2", "tls3"}
	traps             = []string{"trap-cleartext", "trap-authority", "trap-name"}
)

const subject = "be.test"

// estate is what a run is made of, apart from its processes: certificates,
// backends, and the folder of manifests.
type estate struct {
	dir     string
	tamper  func(file, content string, ports map[string]int) string
	history *model.History

	// hosts signs what hosts present, clients what fleets present.
	hosts, clients, rogue *pki.Authority
	// signers sign what backends present: the last one does.
	signers  []*pki.Authority
	backends map[string]*backend.Backend

	mu sync.Mutex
	// secrets are PEM documents that one fleet alone may hold.
	secrets map[string]string

	change int
}

func newEstate(dir string) (*estate, error) {
	e := &estate{dir: dir, backends: map[string]*backend.Backend{}, secrets: map[string]string{}}
	for _, a := range []struct {
		into **pki.Authority
		name string
	}{{&e.hosts, "hosts"}, {&e.clients, "clients"}, {&e.rogue, "rogue"}} {
		var err error
		if *a.into, err = pki.NewAuthority(a.name); err != nil {
			return nil, err
		}
	}
	if err := e.newSigner(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *estate) newSigner() error {
	a, err := pki.NewAuthority(fmt.Sprint("backends ", len(e.signers)))
	if err != nil {
		return err
	}
	e.signers = append(e.signers, a)
	return nil
}

func (e *estate) signer() *pki.Authority { return e.signers[len(e.signers)-1] }

// startBackends starts all and returns what the history says of them.
func (e *estate) startBackends(saw func(*backend.Request)) (map[string]model.Backend, error) {
	out := map[string]model.Backend{}
	for i, name := range slices.Concat(cleartextBackends, tlsBackends, traps) {
		c := backend.Config{Name: name, Keep: backend.None, Saw: saw, CloseEach: i%2 == 1}
		secure := !slices.Contains(cleartextBackends, name) && name != "trap-cleartext"
		if secure {
			pair, err := e.pair(name)
			if err != nil {
				return nil, err
			}
			c.Certificate = &pair.TLS
			if name == "tls0" || name == "tls2" {
				c.ClientCAs = e.clients.Pool()
			}
		}
		b, err := backend.Start(c)
		if err != nil {
			return nil, err
		}
		e.backends[name] = b
		out[name] = model.Backend{
			Port: b.Port(), TLS: secure, RequiresClient: c.ClientCAs != nil, Never: slices.Contains(traps, name),
		}
	}
	return out, nil
}

// pair makes what a backend presents.
func (e *estate) pair(name string) (*pki.Pair, error) {
	switch name {
	case "trap-authority":
		return e.rogue.Issue(pki.Leaf{DNS: []string{subject}})
	case "trap-name":
		return e.signer().Issue(pki.Leaf{DNS: []string{"trap.test"}})
	}
	return e.signer().Issue(pki.Leaf{DNS: []string{subject, name + ".test"}})
}

// present gives every TLS backend a new certificate.
func (e *estate) present() error {
	for _, name := range slices.Concat(tlsBackends, traps[1:]) {
		pair, err := e.pair(name)
		if err != nil {
			return err
		}
		p := model.Presented{Backend: name, Authority: model.Fingerprint(e.signer().Certificate.Raw), Names: pair.Leaf().DNSNames, Began: time.Now()}
		if name == "trap-authority" {
			p.Authority = model.Fingerprint(e.rogue.Certificate.Raw)
		}
		e.backends[name].SetCertificate(&pair.TLS)
		p.Ended = time.Now()
		e.history.Add(p)
	}
	return nil
}

func (e *estate) close() {
	for _, b := range e.backends {
		b.Close()
	}
}

// write replaces a file by a rename, and records it.
func (e *estate) write(c model.Change) error {
	e.change++
	c.N, c.Began = e.change, time.Now()
	content := c.Content
	if e.tamper != nil {
		ports := map[string]int{}
		for name, b := range e.backends {
			ports[name] = b.Port()
		}
		content = e.tamper(c.File, content, ports)
	}
	if err := e.put(c.File, content); err != nil {
		return err
	}
	c.Ended = time.Now()
	e.history.Add(c)
	return nil
}

func (e *estate) put(file, content string) error {
	temp := filepath.Join(e.dir, "."+file+".tmp")
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := os.Rename(temp, filepath.Join(e.dir, file)); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

func (e *estate) remove(why, file string) error {
	e.change++
	c := model.Change{N: e.change, File: file, Removed: true, Began: time.Now(), Why: why}
	if err := os.Remove(filepath.Join(e.dir, file)); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	c.Ended = time.Now()
	e.history.Add(c)
	return nil
}

// tlsSecret issues a certificate of a fleet's own.
func (e *estate) tlsSecret(fleet, name string, by *pki.Authority, leaf pki.Leaf) (string, error) {
	pair, err := by.Issue(leaf)
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	e.secrets[strings.TrimSpace(string(pair.CertPEM))] = fleet
	e.secrets[strings.TrimSpace(string(pair.KeyPEM))] = fleet
	e.mu.Unlock()
	return world.Secret(fleet, name, "kubernetes.io/tls", map[string]string{
		"tls.crt": string(pair.CertPEM), "tls.key": string(pair.KeyPEM),
	}), nil
}

// foreign returns what in a text is another fleet's; empty when nothing is.
func (e *estate) foreign(fleet, text string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range fleets {
		if other != fleet && strings.Contains(text, "."+other+".test") {
			return "a host of fleet " + other
		}
	}
	if !strings.Contains(text, "-----BEGIN") {
		return ""
	}
	for pem, owner := range e.secrets {
		if owner != fleet && strings.Contains(text, pem) {
			return "a certificate or key of fleet " + owner
		}
	}
	return ""
}
