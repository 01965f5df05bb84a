package graph

import (
	"bytes"
	"slices"
)

// op is a put or a delete.
type op[K Key, V any] struct {
	key  K
	val  V
	gone bool
	enc  []byte
}

// batch is what a Changes holds for one input.
type batch interface {
	table() *meta
	play(d *draft, later []batch)
	each(f func(key any))
}

type ops[K Key, V any] struct {
	in   *Input[K, V]
	list []op[K, V]
}

func (t *Input[K, V]) add(c *Changes, o op[K, V]) {
	c.length++
	if t.lane == Fast {
		c.fast = true
	} else {
		c.main = true
	}
	for _, b := range c.batches {
		if b.table() == &t.meta {
			mine := b.(*ops[K, V]) //nolint:forcetypeassert // one input, one type
			mine.list = append(mine.list, o)
			return
		}
	}
	c.batches = append(c.batches, &ops[K, V]{in: t, list: []op[K, V]{o}})
}

func (b *ops[K, V]) table() *meta { return &b.in.meta }

func (b *ops[K, V]) each(f func(key any)) {
	for i := range b.list {
		f(b.list[i].key)
	}
}

// play applies b and then the later batches of the same input. For one key the
// last op counts.
func (b *ops[K, V]) play(d *draft, later []batch) {
	list := b.list
	for _, l := range later {
		list = append(slices.Clip(list), l.(*ops[K, V]).list...) //nolint:forcetypeassert // one input, one type
	}
	order, arena := make([]*op[K, V], len(list)), d.keys[:0]
	for i := range list {
		start := len(arena)
		arena = encode(arena, list[i].key)
		list[i].enc = arena[start:len(arena):len(arena)]
		order[i] = &list[i]
	}
	d.keys = arena
	slices.SortStableFunc(order, func(a, b *op[K, V]) int { return bytes.Compare(a.enc, b.enc) })
	t := b.in
	t.begin(d, len(order))
	t.rows.expect(len(order))
	for i, o := range order {
		if i+1 < len(order) && order[i+1].key == o.key {
			continue
		}
		t.set(d, o)
	}
	for _, o := range order {
		o.enc = nil // the space is used again
	}
	t.finish(d)
}

func (t *Input[K, V]) set(d *draft, o *op[K, V]) {
	p, had := t.edits[d.kind].tree.Get(o.enc)
	old := (*row[K, V])(p)
	var now *row[K, V]
	switch {
	case o.gone && !had:
		return
	case o.gone:
	case had && t.alike(old.val, o.val):
		return
	default:
		now = &row[K, V]{key: o.key, val: o.val}
	}
	c := t.rows.cells[o.key]
	t.write(d, o.key, o.enc, c, old, now)
	t.announce(d, o.key, o.enc, c, old, now)
}

// settle does nothing: inputs are settled when they are played.
func (t *Input[K, V]) settle(*draft) {}

func (t *Input[K, V]) depsOf(*Reader, *cell) ([]*cell, bool) { return nil, true }
