package graph_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that are left when all tests of the package have ended: while they run, those of tests in parallel
// with each other cannot be told from leaks.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
