package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/source"
)

const (
	// fetchers is how many contents are read at the same time.
	fetchers = 32
	// fetchTimeout bounds one attempt to read one.
	fetchTimeout = 10 * time.Second
	// toldTimeout bounds one to read a version that an event told of.
	toldTimeout = time.Second
)

// contents is the index of references: which object refers to which Secret or
// ConfigMap, and what is known of those. It is of one goroutine, but for fetch.
type contents struct {
	source  *Source
	ctx     context.Context //nolint:containedctx // the run's, for the reads that it starts
	objects map[schema.GroupVersionKind]*kind
	slots   chan struct{}
	fetched chan fetch

	holders map[source.Key]*holder
	known   map[source.Key]*content
	fences  fences
	// complete says that the first list was handed on.
	complete bool
	// waiting counts the objects that wait for a content.
	waiting int
	// out is the next batch: nil is a deletion. vacant are the contents that are gone,
	// and delivered as long as what waits is served with them.
	out      map[source.Key]client.Object
	vacant   map[source.Key]struct{}
	refused  map[source.Key]string
	problems bool // refused or unlisted has changed
	// unlisted says which kinds are not watched for want of a right.
	unlisted []source.Problem
}

// holder is an object that refers to contents.
type holder struct {
	// delivered are the references of the version that was delivered.
	delivered []source.Key
	// pending is a newer version that waits, nil for the end of the object, what it
	// refers to, and the fences that it waits for, by cause.
	waits   bool
	pending client.Object
	wants   []source.Key
	fences  map[source.Key]source.Key
	// places are where it waits.
	places []source.Key
}

// waitsFor are the contents that a version waits for.
func (h *holder) waitsFor() []source.Key {
	out := slices.Clone(h.wants)
	for _, f := range h.fences {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// content is a Secret or ConfigMap that something refers to.
type content struct {
	references int
	// waiters want to be told when it is settled.
	waiters []source.Key
	// settled says that it was read once, or is known to be absent.
	settled, fetching bool
	// stale says that it changed while it was read.
	stale bool
	// version is that of what was delivered; empty when nothing was.
	version string
	// told is the version that an event told of last; empty when none did.
	told string
	// missing are the objects that a fence waits for, with the oldest version that will
	// do, and lists is how often it has asked for them.
	missing map[source.Key]string
	lists   int
	// asked are the objects that the end of a policy has asked for, as they were.
	asked map[source.Key]client.Object
	// cancel ends a read that is under way.
	cancel context.CancelFunc
}

// fetch is the outcome of one read; no object and no error is: not there.
type fetch struct {
	key    source.Key
	of     *content
	object client.Object
	// versions are those of a list, for a fence.
	versions map[source.Key]string
	err      error
}

func newContents(ctx context.Context, s *Source) *contents {
	c := &contents{
		source: s, ctx: ctx, objects: map[schema.GroupVersionKind]*kind{},
		slots: make(chan struct{}, fetchers), fetched: make(chan fetch, fetchers),
		holders: map[source.Key]*holder{}, known: map[source.Key]*content{},
		out: map[source.Key]client.Object{}, vacant: map[source.Key]struct{}{}, refused: map[source.Key]string{}, fences: newFences(),
	}
	for _, k := range s.kinds {
		if k.onDemand {
			c.objects[k.gvk] = k
		}
	}
	return c
}

// arrive takes a new version of an object. It is delivered when all that it
// refers to is settled; until then the version before it serves.
func (c *contents) arrive(key source.Key, o client.Object) {
	h, held := c.holders[key]
	wants, fences := c.source.options.References(o), c.fence(h, key, o)
	if !held && len(wants)+len(fences) == 0 {
		c.out[key] = o
		c.passed(key, o)
		return
	}
	if !held {
		h = &holder{}
		c.holders[key] = h
	}
	c.hold(key, h, o, wants, fences)
}

// hold lets a version wait, or the end of an object when it is nil, unless it need
// not.
func (c *contents) hold(key source.Key, h *holder, o client.Object, wants []source.Key, fences map[source.Key]source.Key) {
	was := c.suspend(key, h)
	h.waits, h.pending, h.wants, h.fences = true, o, wants, fences
	c.fences.wait(key, fences)
	for _, w := range h.waitsFor() {
		if x := c.acquire(w); !x.settled && !slices.Contains(was, w) {
			x.waiters = append(x.waiters, key) // who has waited there is one of them
		}
	}
	c.release(was)
	c.waiting++
	if c.isHeld(h) {
		c.place(key, h, o)
	}
	c.deliver(key, h)
}

// isHeld says that a version waits for something.
func (c *contents) isHeld(h *holder) bool {
	return slices.ContainsFunc(h.waitsFor(), func(w source.Key) bool { return !c.known[w].settled })
}

// suspend takes back a version that waits, and returns what it waited for.
func (c *contents) suspend(key source.Key, h *holder) []source.Key {
	if !h.waits {
		return nil
	}
	was := h.waitsFor()
	c.passes(key, h)
	h.waits, h.pending, h.wants, h.fences = false, nil, nil, nil
	return was
}

// deliver hands on the version that waits, if it need not wait any more.
func (c *contents) deliver(key source.Key, h *holder) {
	if !h.waits || c.isHeld(h) {
		return
	}
	if h.pending == nil {
		c.gone(key)
		return
	}
	c.passes(key, h)
	o, was := h.pending, h.delivered
	for _, w := range h.waitsFor() {
		if isFence(w) {
			was = append(was, w)
		}
	}
	c.out[key] = o
	h.delivered, h.waits, h.pending, h.wants, h.fences = h.wants, false, nil, nil, nil
	c.release(was)
	if len(h.delivered) == 0 {
		delete(c.holders, key)
	}
	c.passed(key, o)
}

// passes notes that a version, or an end, waits no more.
func (c *contents) passes(key source.Key, h *holder) {
	c.waiting--
	c.fences.pass(key, h.fences)
	c.unplace(key, h)
}

func (c *contents) acquire(key source.Key) *content {
	x, ok := c.known[key]
	if !ok {
		x = &content{}
		c.known[key] = x
		if isFence(key) && key.GroupVersionKind != endFence {
			c.readAfter(2*fenceFirst, key, x) // a pause is half as long at least
		} else {
			c.read(key, x)
		}
	}
	x.references++
	return x
}

func (c *contents) release(keys []source.Key) {
	for _, key := range keys {
		x := c.known[key]
		x.references--
		if x.references > 0 {
			continue
		}
		delete(c.known, key)
		delete(c.vacant, key)
		c.fences.shut(key, x)
		x.cancel()
		c.admit(key)
		if x.version != "" {
			c.out[key] = nil
		}
	}
}

// changed takes the version that a content has now; empty when it is gone.
func (c *contents) changed(key source.Key, version string) {
	x, ok := c.known[key]
	_, vacant := c.vacant[key]
	if !ok || version == x.version && x.settled && !x.fetching && !vacant {
		return
	}
	x.told = version
	if x.fetching {
		x.stale = true
		return
	}
	c.read(key, x)
}

// settle takes the outcome of a read.
func (c *contents) settle(f fetch) {
	x := f.of
	if c.known[f.key] != x {
		return // nobody refers to it any more
	}
	x.fetching = false
	if isFence(f.key) {
		c.settleFence(&f)
		return
	}
	switch {
	case f.err != nil:
		c.refuse(f.key, f.err)
	case f.object == nil:
		c.admit(f.key)
		if x.version != "" {
			c.vacant[f.key] = struct{}{}
		}
	default:
		c.admit(f.key)
		delete(c.vacant, f.key)
		if version := f.object.GetResourceVersion(); x.version != version {
			x.version = version
			c.out[f.key] = f.object
		}
	}
	if x.stale {
		x.stale = false
		c.read(f.key, x)
	}
	c.settled(x)
}

// settled lets those go on who wait for a content.
func (c *contents) settled(x *content) {
	if x.settled {
		return
	}
	x.settled = true
	waiters := x.waiters
	x.waiters = nil
	for _, key := range waiters {
		if h, ok := c.holders[key]; ok {
			c.deliver(key, h)
		}
	}
}

// refuse notes that a content may not be read. What was delivered serves on.
func (c *contents) refuse(key source.Key, err error) {
	message := fmt.Sprintf("cannot be read: %v: allow the operator's service account to get it", err)
	if c.refused[key] != message {
		c.refused[key], c.problems = message, true
	}
}

// unlistable notes which kinds are not watched for want of a right.
func (c *contents) unlistable(p []source.Problem) {
	if !slices.Equal(p, c.unlisted) {
		c.unlisted, c.problems = p, true
	}
}

func (c *contents) admit(key source.Key) {
	if _, ok := c.refused[key]; ok {
		delete(c.refused, key)
		c.problems = true
	}
}

// refresh reads again what no event tells of: contents that were refused, as a
// right may be given, and those outside the namespaces that are watched.
func (c *contents) refresh() {
	for key, x := range c.known {
		_, refused := c.refused[key]
		if !x.fetching && !isFence(key) && (refused || !c.source.watches(key.Namespace)) {
			x.told = ""
			c.read(key, x)
		}
	}
}

// batch returns what is ready since the last one.
func (c *contents) batch() source.Batch {
	c.vacate()
	var b source.Batch
	for key, o := range c.out {
		if o == nil {
			b.Deleted = append(b.Deleted, key)
		} else {
			b.Changed = append(b.Changed, o)
		}
	}
	clear(c.out)
	if c.problems {
		c.problems, b.Problems = false, append([]source.Problem{}, c.unlisted...)
		for key, message := range c.refused {
			b.Problems = append(b.Problems, source.Problem{Object: key.String(), Message: message, Severity: source.Error})
		}
		sortProblems(b.Problems)
	}
	return b
}
