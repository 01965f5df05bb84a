package graph

import (
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
)

// witness remembers what a unit has read, to see that it left it alone.
type witness struct {
	fingerprint func(any) string
	seen        []evidence
}

type evidence struct {
	table, key, print string
	value             any
}

func (w *witness) reset() {
	clear(w.seen)
	w.seen = w.seen[:0]
}

func (w *witness) saw(table, key string, value any) {
	w.seen = append(w.seen, evidence{table, key, w.fingerprint(value), value})
}

// verdict names the first value that has changed, if any. A nil witness saw
// nothing.
func (w *witness) verdict() string {
	if w == nil {
		return ""
	}
	for _, e := range w.seen {
		if w.fingerprint(e.value) != e.print {
			return fmt.Sprintf("it changed %s %q, which it had read", e.table, e.key)
		}
	}
	return ""
}

// deepFingerprint hashes a value and everything it points to.
func deepFingerprint(value any) string {
	h := fnv.New128a()
	walker{h, map[visit]bool{}}.walk(reflect.ValueOf(value))
	return string(h.Sum(nil))
}

type visit struct {
	at  uintptr
	typ reflect.Type
}

type walker struct {
	to   io.Writer
	seen map[visit]bool // pointers on the way here, for cycles
}

func (w walker) note(format string, args ...any) {
	_, _ = fmt.Fprintf(w.to, format, args...) // a hash never fails
}

func (w walker) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Invalid:
		w.note("nil;")
	case reflect.Pointer:
		w.follow(v)
	case reflect.Interface:
		w.walk(v.Elem())
	case reflect.Struct:
		for _, f := range v.Fields() {
			w.walk(f)
		}
	case reflect.Slice, reflect.Array:
		w.note("[%d", v.Len())
		for i := range v.Len() {
			w.walk(v.Index(i))
		}
	case reflect.Map:
		w.walkMap(v)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		w.note("%x;", v.Pointer())
	default:
		w.note("%s=%q;", v.Kind(), fmt.Sprint(v))
	}
}

func (w walker) follow(v reflect.Value) {
	at := visit{v.Pointer(), v.Type()}
	switch {
	case v.IsNil():
		w.note("nil;")
		return
	case w.seen[at]:
		w.note("seen;")
		return
	}
	w.seen[at] = true
	w.walk(v.Elem())
	delete(w.seen, at)
}

// walkMap adds up the entries, since their order is random.
func (w walker) walkMap(v reflect.Value) {
	var sum [16]byte
	for iter := v.MapRange(); iter.Next(); {
		h := fnv.New128a()
		entry := walker{h, w.seen}
		entry.walk(iter.Key())
		entry.walk(iter.Value())
		for i, b := range h.Sum(nil) {
			sum[i] ^= b
		}
	}
	w.note("{%d:%x}", v.Len(), sum)
}
