package graph

import (
	"unsafe"

	"github.com/cilium/statedb/part"
)

// tree is a persistent map from encoded keys to pointers: to rows of one type, or
// to heads of an index. For the compiler all of them are of one type: part is
// large, and would be made anew for each of the hundred types of rows, in every
// package that sees one (60 % of the functions of package translator, half the
// time of every build). Whoever owns a slot knows what it points to.
type tree = part.Tree[unsafe.Pointer]

// txn is an edit of a tree.
type txn = part.Txn[unsafe.Pointer]

// treeOf returns the tree of a slot that was made by newTree.
func treeOf(roots []any, slot int) *tree {
	return roots[slot].(*tree) //nolint:forcetypeassert // a slot never changes its type
}

func newTree() *tree { return newRoot[unsafe.Pointer]() }
