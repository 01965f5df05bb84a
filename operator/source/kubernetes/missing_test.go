package kubernetes

import (
	"fmt"
	"testing"
)

// renames are contents in which so many routes are being renamed.
func renames(tb testing.TB, n int) *contents {
	tb.Helper()
	c := fenced(tb, withContent(slicedOptions()))
	for i := range n {
		about := fmt.Sprint("web-", i)
		c.arrives(sliceKind, about, "1", about)
		c.arrives(routeKind, fmt.Sprint("old-", i), "1", about)
		c.arrives(routeKind, fmt.Sprint("new-", i), "2", about)
		c.depart(keyOf(routeKind, fmt.Sprint("old-", i)))
	}
	c.batch()
	return c
}

// Thousands of renames that came in a batch cost each delivery a look at each.
func BenchmarkDeliveryBesideRenames(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := renames(b, n)
			for b.Loop() {
				c.arrives(sliceKind, "other", "3", "other")
			}
		})
	}
}

func TestManyRenamesComeThrough(t *testing.T) {
	const n = 100
	c := renames(t, n)
	for i := range n {
		c.reads(fmt.Sprint("new-", i))
	}
	if b := c.batch(); len(b.Changed) != n || len(b.Deleted) != n {
		t.Errorf("%d delivered, %d gone", len(b.Changed), len(b.Deleted))
	}
	for i := range n {
		c.depart(keyOf(routeKind, fmt.Sprint("new-", i)))
	}
	c.batch()
	c.isClean(t)
}
