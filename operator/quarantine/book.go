package quarantine

import (
	"fmt"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// change is a row of the Quarantine input to put, or of the Probes input where
// probing is set; nil deletes it.
type change struct {
	key     translator.RefusalKey
	row     *translator.Refusal
	probe   *envoy.Resource
	probing bool
}

// refused is a resource that Envoy refuses and that is served now.
type refused struct {
	key      translator.RefusalKey // of the whole
	resource *envoy.Resource
	// lastGood is nil where no Envoy has taken a version.
	lastGood *envoy.Resource
	message  string
	// doubtful says that it may have been refused for a secret that is mended now.
	doubtful bool
}

// book is what is held back, and the searches for what is to blame. It is
// pure: what it returns is to be committed before it is asked again.
type book struct {
	rows     map[translator.RefusalKey]*translator.Refusal
	searches map[translator.RefusalKey]*search
	trials   map[translator.RefusalKey]*trial
	// mended are the fleets that had a refused secret mended, and the newest
	// revision by which it was; doubted are clusters that were refused before, and
	// are tried once more.
	mended  map[ir.Name]uint64
	doubted map[translator.RefusalKey]bool
}

// search looks for the parts of one resource that Envoy refuses. It begins with
// all suspects set aside. When Envoy has taken that, one group at a time is let
// go: if Envoy refuses, they are suspects again, in two halves.
type search struct {
	// origin is the version that was refused first, with nothing set aside.
	origin string
	// groups are set aside and wait for their trial.
	groups [][]string
	// since is the revision that holds what was decided last: an answer to an
	// earlier one says nothing. It is 0 until that is committed.
	since uint64
}

func newBook() *book {
	return &book{
		rows:     map[translator.RefusalKey]*translator.Refusal{},
		searches: map[translator.RefusalKey]*search{},
		trials:   map[translator.RefusalKey]*trial{},
		mended:   map[ir.Name]uint64{},
		doubted:  map[translator.RefusalKey]bool{},
	}
}

// refuse takes a refusal. The resource must be what the last commit serves, and
// inEffect must speak of that commit.
func (b *book) refuse(x *refused, inEffect func(translator.RefusalKey) bool) ([]change, error) {
	if x.lastGood != nil && x.lastGood.Version == x.resource.Version {
		return nil, nil // another Envoy has taken it: there is no better version
	}
	if x.doubtful {
		b.doubted[x.key] = true
	}
	if b.rows[x.key] != nil && inEffect(x.key) {
		return b.whole(x, inEffect), nil // it is what was sent instead
	}
	suspects, good, err := b.suspects(x, inEffect)
	if err != nil {
		return nil, err
	}
	switch {
	case len(suspects) == 0:
		return b.whole(x, inEffect), nil
	case x.lastGood == nil && b.searches[x.key] == nil && (len(suspects) > 1 || b.trials[x.key] != nil):
		return b.begin(x, suspects)
	case len(suspects) == 1:
		return b.holdBack(x, suspects, good, false), nil
	}
	s := b.searches[x.key]
	if s == nil {
		s = &search{origin: x.resource.Version}
		b.searches[x.key] = s
	}
	names := make([]string, len(suspects))
	for i, p := range suspects {
		names[i] = p.Name
	}
	half := len(names) / 2
	s.groups = append(s.groups, names[:half], names[half:])
	return b.holdBack(x, suspects, good, true), nil
}

// suspects are the parts that differ from what Envoy took last, which are good,
// and are not held back already.
func (b *book) suspects(
	x *refused, inEffect func(translator.RefusalKey) bool,
) (suspects, good []*envoy.Resource, err error) {
	parts, err := envoy.Parts(x.resource)
	if err != nil {
		return nil, nil, fmt.Errorf("taking apart what was refused: %w", err)
	}
	if x.lastGood != nil {
		if good, err = envoy.Parts(x.lastGood); err != nil {
			return nil, nil, fmt.Errorf("taking apart the last good version: %w", err)
		}
	}
	known := byName(good)
	for _, p := range parts {
		key := x.key
		key.Part = p.Name
		if good := known[p.Name]; good != nil && good.Version == p.Version {
			continue
		}
		if b.rows[key] == nil || !inEffect(key) {
			suspects = append(suspects, p)
		}
	}
	return suspects, good, nil
}

func byName(parts []*envoy.Resource) map[string]*envoy.Resource {
	out := make(map[string]*envoy.Resource, len(parts))
	for _, p := range parts {
		out[p.Name] = p
	}
	return out
}

func (b *book) holdBack(x *refused, parts, good []*envoy.Resource, suspect bool) []change {
	known := byName(good)
	out := make([]change, 0, len(parts))
	for _, p := range parts {
		key := x.key
		key.Part = p.Name
		out = append(out, b.put(key, &translator.Refusal{
			Version: p.Version, Message: x.message, LastGood: known[p.Name], Suspect: suspect,
			Narrower: envoy.Narrower(good, p.Name),
		}))
	}
	b.touch(x.key)
	return out
}

func (b *book) put(key translator.RefusalKey, row *translator.Refusal) change {
	if row == nil {
		delete(b.rows, key)
	} else {
		b.rows[key] = row
	}
	return change{key: key, row: row}
}

// touch says that the resource changes with the next commit.
func (b *book) touch(key translator.RefusalKey) {
	if s := b.searches[key]; s != nil {
		s.since = 0
	}
}

// whole holds the whole resource back, because no part of it is to blame. What
// is refused may be what was sent instead: then the next worse form is.
func (b *book) whole(x *refused, inEffect func(translator.RefusalKey) bool) []change {
	if row := b.rows[x.key]; row != nil && inEffect(x.key) {
		worse := *row
		worse.Message = x.message
		if worse.LastGood != nil {
			worse.LastGood = nil
		} else {
			worse.Withheld = true
		}
		return []change{b.put(x.key, &worse)}
	}
	row := &translator.Refusal{Version: x.resource.Version, Message: x.message, LastGood: x.lastGood}
	var out []change
	if s := b.searches[x.key]; s != nil {
		// It is refused with all suspects set aside: none of them is to blame.
		row.Version = s.origin
		for key, r := range b.rows {
			if r.Suspect && key.Whole() == x.key {
				out = append(out, b.put(key, nil))
			}
		}
		delete(b.searches, x.key)
	}
	if t := b.trials[x.key]; t != nil && t.over {
		row.Version = t.of.resource.Version
		out = append(out, b.pardon(t)...)
	}
	return append(out, b.put(x.key, row))
}

// waiting are the fleets whose acknowledgements decide how it goes on.
func (b *book) waiting() map[ir.Name]bool {
	out := map[ir.Name]bool{}
	for key := range b.searches {
		out[key.Fleet] = true
	}
	for key := range b.trials {
		out[key.Fleet] = true
	}
	return out
}

// acknowledged says that an Envoy of a fleet has taken a revision and all
// before it, which may have been said before.
func (b *book) acknowledged(fleet ir.Name, revision uint64) []change {
	var out []change
	for key, s := range b.searches {
		if key.Fleet != fleet || s.since == 0 || revision < s.since {
			continue
		}
		out = append(out, b.advance(key, s)...)
	}
	for key, t := range b.trials {
		if key.Fleet == fleet && t.over && t.since != 0 && revision >= t.since {
			delete(b.trials, key)
		}
	}
	return out
}

// advance lets the next group go. It is not named to blame: if Envoy refuses
// it, the refusal finds it anew by what has changed.
func (b *book) advance(key translator.RefusalKey, s *search) []change {
	var out []change
	for len(s.groups) > 0 && len(out) == 0 {
		group := s.groups[0]
		s.groups = s.groups[1:]
		for _, name := range group {
			part := key
			part.Part = name
			if r := b.rows[part]; r != nil && r.Suspect {
				out = append(out, b.put(part, nil))
			}
		}
	}
	if len(out) == 0 {
		delete(b.searches, key)
		return nil
	}
	s.since = 0
	return out
}

// settle takes a commit that holds all that was decided: rows that are not in
// effect go, since other bytes are computed now, or none.
func (b *book) settle(revision uint64, inEffect func(translator.RefusalKey) bool) []change {
	var out []change
	mended := map[ir.Name]bool{}
	for key := range b.rows {
		if inEffect(key) && !b.doubted[key] {
			continue
		}
		out = append(out, b.put(key, nil))
		if key.Type == envoy.SecretType {
			mended[key.Fleet], b.mended[key.Fleet] = true, revision
		}
	}
	clear(b.doubted)
	// A refused secret spoils its name in Envoy: clusters that use it are
	// refused too, and have no other bytes to be tried with.
	for key := range b.rows {
		if key.Type == envoy.ClusterType && mended[key.Fleet] {
			out = append(out, b.put(key, nil))
		}
	}
	for _, s := range b.searches {
		if s.since == 0 {
			s.since = revision
		}
	}
	for _, t := range b.trials {
		if t.over && t.since == 0 {
			t.since = revision
		}
	}
	return out
}
