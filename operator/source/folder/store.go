package folder

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/manifest"
)

// store knows what each file states and which objects follow from it. It knows
// nothing of the file system; the cost of a change follows the changed file.
type store struct {
	decoder *manifest.Decoder
	files   map[string]*file
	// objects are those that a file states or that were accepted.
	objects map[source.Key]*object
	// problems of files that have some.
	problems map[string][]source.Problem
	// folder is what is wrong with the folder as a whole and with folders in it.
	folder []source.Problem

	// orphans are the objects of vanished files that no other file states, and
	// since when; waiting are the same, the oldest first.
	orphans map[source.Key]time.Time
	waiting []orphan

	// What has changed since the last commit.
	touched map[source.Key]bool
	changed map[string]bool
	noted   bool
}

// file is what a file states, each object once. When it is broken, the objects
// are those that it stated last.
type file struct {
	digest   [sha256.Size]byte
	objects  []*manifest.Object
	problems []source.Problem
}

// object is what all files together say of an object.
type object struct {
	// claims are by path; the first one wins.
	claims []claim
	// accepted is what was accepted last; nil if nothing was yet.
	accepted *manifest.Object
	// closed is set while the closed form of a refused statement was delivered.
	closed bool
	// refused is why the winning statement may not follow what was accepted.
	refused []source.Problem
}

// claim is a file's statement of an object.
type claim struct {
	path   string
	states *manifest.Object
}

// find returns where the claim of a file is, or would be.
func (o *object) find(path string) (int, bool) {
	return slices.BinarySearchFunc(o.claims, path, func(c claim, path string) int { return cmp.Compare(c.path, path) })
}

func newStore(d *manifest.Decoder) *store {
	return &store{
		decoder: d, files: map[string]*file{}, objects: map[source.Key]*object{},
		problems: map[string][]source.Problem{}, orphans: map[source.Key]time.Time{},
		touched: map[source.Key]bool{}, changed: map[string]bool{},
	}
}

// has tells whether a file was read with this digest.
func (s *store) has(path string, digest [sha256.Size]byte) bool {
	f, ok := s.files[path]
	return ok && f.digest == digest
}

// isUnread tells whether a file could not be read when it was last tried.
func (s *store) isUnread(path string) bool {
	f, ok := s.files[path]
	return ok && f.digest == [sha256.Size]byte{}
}

// note records what is wrong with the folder as a whole and with folders in it.
func (s *store) note(folder []source.Problem) {
	if !slices.Equal(folder, s.folder) {
		s.folder, s.noted = folder, true
	}
}

// put records what a file states now.
func (s *store) put(path string, digest [sha256.Size]byte, text manifest.File) {
	f := &file{digest: digest, problems: text.Problems}
	old := s.files[path]
	s.files[path] = f
	s.changed[path] = true
	if text.Broken {
		if old != nil {
			f.objects = old.objects
		}
		return
	}
	stated := make(map[source.Key]*manifest.Object, len(text.Objects))
	f.objects = make([]*manifest.Object, 0, len(text.Objects))
	for _, o := range text.Objects {
		if first, twice := stated[o.Key]; twice {
			f.problems = append(f.problems, duplicate(&o, path, first))
			continue
		}
		stated[o.Key] = &o
		f.objects = append(f.objects, &o)
	}
	s.replace(path, old, stated)
}

// remove records that a file is gone. What it alone stated is held back.
func (s *store) remove(path string, now time.Time) {
	old, ok := s.files[path]
	if !ok {
		return
	}
	delete(s.files, path)
	s.changed[path] = true
	s.replace(path, old, nil)
	s.hold(old, now)
}

// part tells the readings of files that state endpoints alone, and did before,
// from the rest. A file is one step, and so is an object that moves between
// files: endpoints that another file of the rest states, too, are of the rest.
func (s *store) part(readings []reading) (endpoints, rest []reading) {
	elsewhere := map[source.Key]bool{}
	for i := range readings {
		r := &readings[i]
		if s.endpointsAlone(r) {
			endpoints = append(endpoints, *r)
			continue
		}
		rest = append(rest, *r)
		for key := range s.keys(r) {
			elsewhere[key] = true
		}
	}
	for i := range endpoints {
		for key := range s.keys(&endpoints[i]) {
			if elsewhere[key] {
				return nil, readings
			}
		}
	}
	return endpoints, rest
}

// keys yields what a file stated before a reading, and what it states after it.
func (s *store) keys(r *reading) iter.Seq[source.Key] {
	return func(yield func(source.Key) bool) {
		if old := s.files[r.path]; old != nil {
			for _, o := range old.objects {
				if !yield(o.Key) {
					return
				}
			}
		}
		for i := range r.file.Objects {
			if !yield(r.file.Objects[i].Key) {
				return
			}
		}
	}
}

func (s *store) endpointsAlone(r *reading) bool {
	if r.same || r.file.Broken {
		return false
	}
	some := false
	for key := range s.keys(r) {
		if key.Kind != "EndpointSlice" {
			return false
		}
		some = true
	}
	return some
}

// replace puts what a file states now in the place of its old claims.
func (s *store) replace(path string, old *file, stated map[source.Key]*manifest.Object) {
	if old != nil {
		for _, o := range old.objects {
			if _, stays := stated[o.Key]; !stays {
				s.unclaim(o.Key, path)
			}
		}
	}
	for key, next := range stated {
		s.touched[key] = true
		o := s.objects[key]
		if o == nil {
			o = &object{}
			s.objects[key] = o
		}
		i, claimed := o.find(path)
		if !claimed {
			o.claims = slices.Insert(o.claims, i, claim{path: path})
		}
		o.claims[i].states = next
	}
}

func (s *store) unclaim(key source.Key, path string) {
	s.touched[key] = true
	o := s.objects[key]
	if i, ok := o.find(path); ok {
		o.claims = slices.Delete(o.claims, i, i+1)
		s.changed[path] = true
	}
}

// commit settles what has changed and returns it.
func (s *store) commit() source.Batch {
	b := source.Batch{Complete: true}
	for _, key := range slices.SortedFunc(maps.Keys(s.touched), compareKeys) {
		value, gone := s.settle(key)
		if value != nil {
			b.Changed = append(b.Changed, value)
		}
		if gone {
			b.Deleted = append(b.Deleted, key)
		}
		if o := s.objects[key]; o != nil {
			for _, c := range o.claims {
				s.changed[c.path] = true
			}
		}
	}
	s.touched = map[source.Key]bool{} // clearing costs what the map once held
	if s.complain() {
		b.Problems = s.allProblems()
	}
	return b
}

// settle decides what an object is now: its new value if it has changed, or
// gone.
func (s *store) settle(key source.Key) (value client.Object, gone bool) {
	o := s.objects[key]
	if o == nil {
		return nil, false
	}
	o.refused = nil
	if _, held := s.orphans[key]; held {
		if len(o.claims) == 0 {
			return nil, false
		}
		delete(s.orphans, key)
	}
	if len(o.claims) == 0 {
		delete(s.objects, key)
		return nil, o.accepted != nil || o.closed
	}
	next := o.claims[0].states
	if next.Value == nil && o.accepted == nil {
		gone = o.closed && next.Closed == nil
		o.closed = next.Closed != nil
		return next.Closed, gone
	}
	if next.Value == nil || (o.accepted != nil && next.Digest == o.accepted.Digest) {
		return nil, false
	}
	if o.accepted != nil {
		value, problems := s.decoder.Update(*o.accepted, *next)
		if len(problems) > 0 {
			o.refused = problems
			return nil, false
		}
		if value != next.Value {
			counted := *next
			counted.Value = value
			next = &counted
		}
	}
	o.accepted, o.closed = next, false
	return next.Value, false
}

// complain brings the problems of the changed files up to date and tells
// whether any differ.
func (s *store) complain() bool {
	differ := s.noted
	s.noted = false
	for path := range s.changed {
		problems := s.problemsOf(path)
		if slices.Equal(problems, s.problems[path]) {
			continue
		}
		differ = true
		if len(problems) == 0 {
			delete(s.problems, path)
		} else {
			s.problems[path] = problems
		}
	}
	s.changed = map[string]bool{}
	return differ
}

func (s *store) problemsOf(path string) []source.Problem {
	f, ok := s.files[path]
	if !ok {
		return nil
	}
	out := slices.Clone(f.problems)
	for _, stated := range f.objects {
		o := s.objects[stated.Key]
		if winner := o.claims[0]; winner.path != path {
			out = append(out, duplicate(stated, winner.path, winner.states))
			continue
		}
		out = append(out, stated.Problems...)
		out = append(out, o.refused...)
	}
	for i := range out {
		out[i].File = path
	}
	slices.SortFunc(out, compareProblems)
	return out
}

func (s *store) allProblems() []source.Problem {
	out := append([]source.Problem{}, s.folder...)
	for _, path := range slices.Sorted(maps.Keys(s.problems)) {
		out = append(out, s.problems[path]...)
	}
	slices.SortStableFunc(out, func(a, b source.Problem) int { return cmp.Compare(a.File, b.File) })
	return out
}

func duplicate(o *manifest.Object, winner string, first *manifest.Object) source.Problem {
	return source.Problem{
		Line: o.Line, Object: o.Key.String(), Severity: source.Error,
		Message: fmt.Sprintf("stated already at %s:%d, which is used: remove one of them", winner, first.Line),
	}
}

func compareProblems(a, b source.Problem) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Field, b.Field),
		cmp.Compare(a.Message, b.Message))
}

func compareKeys(a, b source.Key) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Version, b.Version),
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
