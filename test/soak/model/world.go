package model

import (
	"cmp"
	"slices"
	"time"
)

// version is what an object was from a change on; nil is absent.
type version struct {
	n     int // the change
	began time.Time
	// objects are what it may be seen as: several for a change that the source
	// must refuse.
	objects []*object
}

// worlds knows every version of every object.
type worlds struct {
	versions map[key][]version
	// settled[n] is when change n was in force everywhere; the zero time never.
	settled []time.Time
	// hosts are all objects that ever claimed a host, by namespace and host.
	hosts map[[2]string][]key
	// delegations and slices are all objects of that kind, by namespace, and by
	// namespace and Service.
	delegations map[string][]key
	slices      map[[2]string][]key
}

func newWorlds(h *History) *worlds {
	w := &worlds{
		versions: map[key][]version{}, hosts: map[[2]string][]key{},
		delegations: map[string][]key{}, slices: map[[2]string][]key{},
	}
	changes := slices.Clone(h.Changes)
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.N, b.N) })
	last := 0
	if len(changes) > 0 {
		last = changes[len(changes)-1].N
	}
	w.settled = make([]time.Time, last+1)
	for _, s := range h.Settled {
		for n := min(s.N, last); n > 0 && (w.settled[n].IsZero() || s.At.Before(w.settled[n])); n-- {
			w.settled[n] = s.At
		}
	}
	inFile := map[string][]key{}
	for i := range changes {
		w.apply(&changes[i], inFile)
	}
	return w
}

// apply adds the versions that a change makes.
func (w *worlds) apply(c *Change, inFile map[string][]key) {
	objects, err := parse(c.Content)
	if c.Removed {
		objects, err = nil, nil
	}
	now := map[key]*object{}
	for _, o := range objects {
		now[o.key()] = o
		w.index(o)
	}
	was := inFile[c.File]
	if err == nil && !c.Invalid {
		for _, k := range was {
			if now[k] == nil {
				w.versions[k] = append(w.versions[k], version{c.N, c.Began, []*object{nil}})
			}
		}
		inFile[c.File] = nil
	}
	if err != nil || c.Invalid {
		// Each object that the file gave is as it was, or, after a restart, not
		// there, or closed as it is written now.
		for _, k := range was {
			v := version{c.N, c.Began, append([]*object{nil}, w.before(k, c.Began)...)}
			if o := now[k]; o != nil {
				v.objects = append(v.objects, o)
			}
			w.versions[k] = append(w.versions[k], v)
		}
		for k, o := range now { // those that the file did not give before
			if !slices.Contains(was, k) {
				w.versions[k] = append(w.versions[k], version{c.N, c.Began, []*object{nil, o}})
				was = append(was, k)
			}
		}
		inFile[c.File] = was
		return
	}
	for k, o := range now {
		v := version{c.N, c.Began, []*object{o}}
		if c.Refused && o.Kind == "HTTPProxy" {
			shut := *o
			shut.shut = true
			v.objects = append(append(v.objects, &shut), w.before(k, c.Began)...)
		}
		w.versions[k] = append(w.versions[k], v)
		inFile[c.File] = append(inFile[c.File], k)
	}
}

// before returns all that an object may have been in force as at a time: what
// was good last.
func (w *worlds) before(k key, at time.Time) []*object {
	var out []*object
	for _, v := range slices.Backward(w.versions[k]) {
		for _, o := range v.objects {
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
		if s := w.settled[v.n]; !s.IsZero() && !s.After(at) {
			return out
		}
	}
	if !slices.Contains(out, nil) {
		out = append(out, nil)
	}
	return out
}

func (w *worlds) index(o *object) {
	k, ns := o.key(), o.Metadata.Namespace
	add := func(list []key) []key {
		if slices.Contains(list, k) {
			return list
		}
		return append(list, k)
	}
	switch o.Kind {
	case "HTTPProxy":
		if v := o.Spec.VirtualHost; v != nil {
			at := [2]string{ns, v.Fqdn}
			w.hosts[at] = add(w.hosts[at])
		}
	case "TLSCertificateDelegation":
		w.delegations[ns] = add(w.delegations[ns])
	case "EndpointSlice":
		at := [2]string{ns, o.Metadata.Labels["kubernetes.io/service-name"]}
		w.slices[at] = add(w.slices[at])
	}
}

// during returns everything that an object may have been seen as in a span of
// time.
func (w *worlds) during(k key, from, to time.Time) []*object {
	list := w.versions[k]
	var out []*object
	base := false
	for i := len(list) - 1; i >= 0 && !base; i-- {
		v := &list[i]
		if v.began.After(to) {
			continue
		}
		for _, o := range v.objects {
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
		at := w.settled[v.n]
		base = !at.IsZero() && !at.After(from)
	}
	if !base && !slices.Contains(out, nil) {
		out = append(out, nil) // before its first version it was not there
	}
	return out
}

// view looks at the world during one request. Where an object has several
// versions, it takes one of them, and the next view takes another.
type view struct {
	w        *worlds
	from, to time.Time
	// choices are the places where there was one, in order of first look.
	choices []choice
	chosen  map[key]*object
	next    int
}

type choice struct{ taken, of int }

func (v *view) get(k key) *object {
	if o, ok := v.chosen[k]; ok {
		return o
	}
	candidates := v.w.during(k, v.from, v.to)
	var o *object
	if len(candidates) == 1 {
		o = candidates[0]
	} else {
		if v.next == len(v.choices) {
			v.choices = append(v.choices, choice{0, len(candidates)})
		}
		o = candidates[v.choices[v.next].taken]
		v.next++
	}
	v.chosen[k] = o
	return o
}

// maxViews bounds the combinations of one request.
const maxViews = 4096

// each calls see with every view of a span of time until it says stop. It
// tells whether there is one alone, and whether none was left out.
func (w *worlds) each(from, to time.Time, see func(*view) bool) (one, all bool) {
	v := &view{w: w, from: from, to: to}
	one = true
	for range maxViews {
		v.chosen, v.next = map[key]*object{}, 0
		more := see(v)
		one = one && v.next == 0
		if !more {
			return one, true
		}
		// The odometer: the last choice that has more moves on.
		for len(v.choices) > 0 && v.choices[len(v.choices)-1].taken == v.choices[len(v.choices)-1].of-1 {
			v.choices = v.choices[:len(v.choices)-1]
		}
		if len(v.choices) == 0 {
			return one, true
		}
		v.choices[len(v.choices)-1].taken++
	}
	return false, false
}
