package quarantine

import (
	"fmt"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// trial finds the parts of one resource that Envoy refuses where no last good
// version is known, as after a restart. Nothing is set aside: that would close
// what the Envoys of an earlier process serve. They keep what they have, while
// probes with some of the parts are judged in place of the whole.
type trial struct {
	// of is the version that was refused, with its parts.
	of    *refused
	parts map[string]*envoy.Resource
	// groups wait for their probe; asked is the group of the present one.
	groups [][]string
	asked  []string
	probe  *envoy.Resource
	// good and guilty are verdicts, by part: they outlast the version.
	good   map[string]string // its version
	guilty map[string]verdict
	// since is the revision with the outcome, as in search.
	since uint64
	over  bool
}

type verdict struct {
	version, message string
}

// begin judges the suspects of a version, all of which may be innocent.
func (b *book) begin(x *refused, suspects []*envoy.Resource) ([]change, error) {
	t := b.trials[x.key]
	if t == nil {
		t = &trial{good: map[string]string{}, guilty: map[string]verdict{}}
		b.trials[x.key] = t
	}
	if t.of != nil && t.of.resource.Version == x.resource.Version && !t.over {
		return nil, nil // it is on
	}
	t.of, t.parts, t.groups, t.over = x, map[string]*envoy.Resource{}, nil, false
	var unknown []string
	for _, p := range suspects {
		t.parts[p.Name] = p
		if t.good[p.Name] != p.Version && t.guilty[p.Name].version != p.Version {
			unknown = append(unknown, p.Name)
		}
	}
	if len(unknown) == 0 && len(t.convicted()) == 0 {
		return b.acquitted(t), nil
	}
	t.groups = halves(unknown)
	return b.next(t)
}

func halves(names []string) [][]string {
	if len(names) < 2 {
		return [][]string{names}[:len(names)]
	}
	return [][]string{names[:len(names)/2], names[len(names)/2:]}
}

// convicted are the parts of the version that are known to be refused.
func (t *trial) convicted() []*envoy.Resource {
	var out []*envoy.Resource
	for name, v := range t.guilty {
		if p := t.parts[name]; p != nil && p.Version == v.version {
			out = append(out, p)
		}
	}
	return out
}

// next asks about the next group, or holds back what was found.
func (b *book) next(t *trial) ([]change, error) {
	if len(t.groups) == 0 {
		return b.sentence(t), nil
	}
	t.asked, t.groups = t.groups[0], t.groups[1:]
	parts := make([]*envoy.Resource, len(t.asked))
	for i, name := range t.asked {
		parts[i] = t.parts[name]
	}
	probe, err := envoy.Probe(t.of.resource, parts)
	if err != nil {
		return b.acquitted(t), fmt.Errorf("making a probe: %w", err)
	}
	return []change{b.ask(t, probe)}, nil
}

func (b *book) ask(t *trial, probe *envoy.Resource) change {
	t.probe = probe
	return change{key: t.of.key, probe: probe, probing: true}
}

// answer is what an Envoy says of a probe.
type answer struct {
	probe   *envoy.Resource
	refused bool
	message string // of a refusal
}

// probed takes the answer of an Envoy of a fleet.
func (b *book) probed(fleet ir.Name, a answer) ([]change, error) {
	for key, t := range b.trials {
		if key.Fleet != fleet || !t.probe.Equal(a.probe) {
			continue
		}
		switch {
		case !a.refused:
			for _, name := range t.asked {
				t.good[name] = t.parts[name].Version
			}
		case len(t.asked) == 1:
			name := t.asked[0]
			t.guilty[name] = verdict{t.parts[name].Version, a.message}
		default:
			t.groups = append(halves(t.asked), t.groups...)
		}
		return b.next(t)
	}
	return nil, nil // an answer to an earlier probe
}

// sentence holds back what was found, or the whole when nothing was.
func (b *book) sentence(t *trial) []change {
	guilty := t.convicted()
	if len(guilty) == 0 {
		return b.acquitted(t)
	}
	out := b.close(t)
	for _, p := range guilty {
		key := t.of.key
		key.Part = p.Name
		out = append(out, b.put(key, &translator.Refusal{Version: p.Version, Message: t.guilty[p.Name].message}))
	}
	return out
}

// pardon lets go of what was found: Envoy refuses the whole without it too.
func (b *book) pardon(t *trial) []change {
	var out []change
	for _, p := range t.convicted() {
		key := t.of.key
		key.Part = p.Name
		if b.rows[key] != nil {
			out = append(out, b.put(key, nil))
		}
	}
	clear(t.guilty)
	return out
}

// acquitted holds the whole back: no part of it is to blame.
func (b *book) acquitted(t *trial) []change {
	x := t.of
	return append(b.close(t), b.put(x.key, &translator.Refusal{Version: x.resource.Version, Message: x.message}))
}

// close ends the probes of a trial; its verdicts stay until Envoy has taken the
// outcome.
func (b *book) close(t *trial) []change {
	t.over, t.since, t.groups, t.asked = true, 0, nil, nil
	if t.probe == nil {
		return nil
	}
	return []change{b.ask(t, nil)}
}

// abandon ends the trials of versions that are not computed any more. It comes
// after the answers: what one says of a part counts for the next version too.
func (b *book) abandon(serves func(ir.Name, *envoy.Resource) bool) []change {
	var out []change
	for key, t := range b.trials {
		if !t.over && !serves(key.Fleet, t.of.resource) {
			out = append(out, b.close(t)...)
		}
	}
	return out
}
