package graph

import (
	"bytes"
	"fmt"
	"slices"
)

// item is one unit to settle.
type item struct {
	enc []byte
	c   *cell
}

// follow makes the table hear of keys that begin or cease to be listed.
func (t *Unit[K, V]) follow() {
	t.unit = true
	for _, live := range t.live {
		live.listen(&t.meta, func(d *draft, k K) { d.mark(&t.rows.at(k).cell, markLive) })
	}
}

// settle brings every marked unit of the table up to date, in key order.
func (t *Unit[K, V]) settle(d *draft) {
	if len(d.queues[t.id]) == 0 {
		return
	}
	items := t.order(d)
	t.begin(d, len(items))
	for _, it := range items {
		if t.settleOne(d, it) {
			d.breathe()
		}
	}
	clear(items)
	t.finish(d)
}

// order empties the queue of the table into a list in key order.
func (t *Unit[K, V]) order(d *draft) []item {
	queue, items, arena := d.queues[t.id], d.items[:0], d.arena[:0]
	for _, c := range queue {
		start := len(arena)
		arena = encode(arena, t.own(c).key)
		items = append(items, item{enc: arena[start:len(arena):len(arena)], c: c})
	}
	clear(queue)
	d.queues[t.id] = queue[:0]
	slices.SortFunc(items, func(a, b item) int { return bytes.Compare(a.enc, b.enc) })
	d.items, d.arena = items, arena
	return items
}

// own returns the typed cell of a unit.
func (t *Unit[K, V]) own(c *cell) *keyed[K, row[K, V]] {
	return c.owner.(*keyed[K, row[K, V]]) //nolint:forcetypeassert // the queue of a table holds its own cells
}

// settleOne says whether it computed.
func (t *Unit[K, V]) settleOne(d *draft, it item) bool {
	c, marks := t.own(it.c), d.unmark(it.c)
	old := c.borrow(&d.reader)
	if marks&markLive != 0 || old == nil {
		switch alive := t.alive(d, c.key); {
		case !alive && old != nil:
			t.write(d, c.key, it.enc, c, old, nil)
			t.announce(d, c.key, it.enc, c, old, nil)
			d.discard(it.c, old.deps)
			return false
		case !alive:
			d.discard(it.c, nil)
			return false
		case old != nil && marks&markStale == 0:
			return false
		}
	}
	t.recompute(d, c, it.enc, old)
	return true
}

func (t *Unit[K, V]) alive(d *draft, k K) bool {
	for _, live := range t.live {
		if live.lists(&d.reader, k) {
			return true
		}
	}
	return false
}

// recompute computes a unit and stores the result; old is nil for a new unit.
func (t *Unit[K, V]) recompute(d *draft, c *keyed[K, row[K, V]], enc []byte, old *row[K, V]) {
	var past []*cell
	if old != nil {
		past = old.deps
	}
	val, err := t.run(d, c.key, past)
	d.counts[t.id].computed++
	same := old != nil && t.same(old, val, err)
	now := &struct {
		row[K, V]
		derivation
	}{}
	now.row = row[K, V]{key: c.key, val: val, derivation: &now.derivation}
	now.derivation = derivation{err: err, at: d.number}
	if same {
		now.val, now.derivation.err = old.val, old.err
		d.counts[t.id].cutOff++
	}
	now.derivation.deps = d.connect(&c.cell, old != nil, past)
	c.marks |= markHeld
	t.write(d, c.key, enc, c, old, &now.row)
	if !same {
		t.announce(d, c.key, enc, c, old, &now.row)
	}
}

// run calls Compute and contains what goes wrong in it.
func (t *Unit[K, V]) run(d *draft, k K, past []*cell) (val V, err error) {
	var none V
	d.rec.start(&t.meta, d.g.nextRun(), past)
	if val, err = t.call(&d.reader, k); err != nil {
		val = none
	}
	switch mutated := d.rec.check.verdict(); {
	case d.rec.breach != nil:
		return none, d.rec.breach
	case mutated != "":
		return none, fmt.Errorf("unit %s %q: %s: %w", t.name, printKey(k), mutated, ErrMutated)
	}
	return val, err
}

func (t *Unit[K, V]) call(r *Reader, k K) (val V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(t.name, printKey(k), p)
		}
	}()
	return t.compute(r, k)
}

// same says whether readers of the unit would see no difference.
func (t *Unit[K, V]) same(old *row[K, V], val V, err error) bool {
	if !sameError(old.err, err) {
		return false
	}
	return err != nil || t.alike(old.val, val)
}

func (t *Unit[K, V]) failure(r *Reader, k K) error { return t.read(r, k).reason() }

// depsOf returns what the unit of c has read, in the state of the roots.
func (t *Unit[K, V]) depsOf(r *Reader, c *cell) ([]*cell, bool) {
	if found := t.peek(r, t.own(c).key); found != nil {
		return found.deps, true
	}
	return nil, false
}
