package graph

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
)

var (
	// ErrLayer is wrapped by the failure of a unit that reads its own table, one
	// added later, or one of the Fast lane from the Main lane.
	ErrLayer = errors.New("a unit reads only tables below its own")
	// ErrMutated is wrapped by the failure of a unit that changed a value it had
	// read. See CheckImmutable.
	ErrMutated = errors.New("a value that was read has been changed")
	// ErrBusy is returned by Run when the graph has a writer already.
	ErrBusy = errors.New("graph: another writer is at work; a graph has one Run, and no Commit beside it")
)

// PanicError is the failure of a unit whose Compute panicked.
type PanicError struct {
	Table, Key string
	Value      any    // what was given to panic
	Stack      string // from the panic to Compute
}

// Error names the unit and what was given to panic, without the stack, so that
// equal panics are equal failures.
func (e *PanicError) Error() string {
	return fmt.Sprintf("%s %q panicked: %v", e.Table, e.Key, e.Value)
}

// Unwrap returns the value of the panic if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// newPanicError is called from a deferred function that has recovered.
func newPanicError(table, key string, value any) *PanicError {
	return &PanicError{Table: table, Key: key, Value: value, Stack: trimStack(string(debug.Stack()))}
}

// trimStack keeps what lies between the panic and the engine.
func trimStack(stack string) string {
	if _, after, ok := strings.Cut(stack, "\npanic("); ok {
		if _, rest, found := strings.Cut(after, "\n\t"); found {
			_, stack, _ = strings.Cut(rest, "\n")
		}
	}
	if i := strings.Index(stack, "translator/graph."); i > 0 {
		stack = stack[:strings.LastIndexByte(stack[:i], '\n')+1]
	}
	return strings.TrimSpace(stack)
}

// sameError compares by message: errors are made anew by each Compute.
func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Error() == b.Error()
}
