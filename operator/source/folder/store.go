package folder

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/manifest"
)

// store knows what each file states and which objects follow from it. It knows
// nothing of the file system; the cost of a change follows the changed file.
type store struct {
	decoder *manifest.Decoder
	files   map[string]*file
	// claims are the files that state an object, by path; the first one wins.
	claims map[source.Key][]string
	// objects are those that were accepted last.
	objects map[source.Key]manifest.Object
	// refused are why the winning statement may not follow the last object.
	refused map[source.Key][]source.Problem
	// problems of files that have some.
	problems map[string][]source.Problem
	// folder is what is wrong with the folder as a whole.
	folder []source.Problem

	// What has changed since the last commit.
	touched map[source.Key]bool
	changed map[string]bool
	noted   bool
}

// file is what a file states. When it is broken, the objects are those that it
// stated last.
type file struct {
	digest   [sha256.Size]byte
	objects  map[source.Key]manifest.Object
	problems []source.Problem
}

func newStore(d *manifest.Decoder) *store {
	return &store{
		decoder: d, files: map[string]*file{}, claims: map[source.Key][]string{},
		objects: map[source.Key]manifest.Object{}, refused: map[source.Key][]source.Problem{},
		problems: map[string][]source.Problem{}, touched: map[source.Key]bool{}, changed: map[string]bool{},
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

// note records what is wrong with the folder as a whole, if anything is.
func (s *store) note(problem string) {
	var folder []source.Problem
	if problem != "" {
		folder = []source.Problem{{File: ".", Message: problem, Severity: source.Error}}
	}
	if !slices.Equal(folder, s.folder) {
		s.folder, s.noted = folder, true
	}
}

// put records what a file states now.
func (s *store) put(path string, digest [sha256.Size]byte, text manifest.File) {
	f := &file{digest: digest, objects: map[source.Key]manifest.Object{}, problems: text.Problems}
	old := s.files[path]
	s.files[path] = f
	s.changed[path] = true
	if text.Broken {
		if old != nil {
			f.objects = old.objects
		}
		return
	}
	for _, o := range text.Objects {
		if first, twice := f.objects[o.Key]; twice {
			f.problems = append(f.problems, duplicate(o, path, first))
			continue
		}
		f.objects[o.Key] = o
	}
	s.replace(path, old, f)
}

// remove records that a file is gone.
func (s *store) remove(path string) {
	old, ok := s.files[path]
	if !ok {
		return
	}
	delete(s.files, path)
	s.changed[path] = true
	s.replace(path, old, &file{})
}

// replace moves the claims of a file from its old objects to the new ones.
func (s *store) replace(path string, old, next *file) {
	if old != nil {
		for key := range old.objects {
			s.touched[key] = true
			if _, stays := next.objects[key]; !stays {
				s.unclaim(key, path)
			}
		}
	}
	for key := range next.objects {
		s.touched[key] = true
		if i, ok := slices.BinarySearch(s.claims[key], path); !ok {
			s.claims[key] = slices.Insert(s.claims[key], i, path)
		}
	}
}

func (s *store) unclaim(key source.Key, path string) {
	i, ok := slices.BinarySearch(s.claims[key], path)
	if !ok {
		return
	}
	s.claims[key] = slices.Delete(s.claims[key], i, i+1)
	s.changed[path] = true
	if len(s.claims[key]) == 0 {
		delete(s.claims, key)
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
		for _, path := range s.claims[key] {
			s.changed[path] = true
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
	delete(s.refused, key)
	old, existed := s.objects[key]
	claims := s.claims[key]
	if len(claims) == 0 {
		delete(s.objects, key)
		return nil, existed
	}
	next := s.files[claims[0]].objects[key]
	if next.Value == nil || (existed && next.Digest == old.Digest) {
		return nil, false
	}
	if existed {
		value, problems := s.decoder.Update(old, next)
		if len(problems) > 0 {
			s.refused[key] = problems
			return nil, false
		}
		next.Value = value
	}
	s.objects[key] = next
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
	for key, o := range f.objects {
		if winner := s.claims[key][0]; winner != path {
			out = append(out, duplicate(o, winner, s.files[winner].objects[key]))
			continue
		}
		out = append(out, o.Problems...)
		out = append(out, s.refused[key]...)
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
	return out
}

func duplicate(o manifest.Object, winner string, first manifest.Object) source.Problem {
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
