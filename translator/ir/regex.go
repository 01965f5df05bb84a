package ir

import (
	"errors"
	"regexp/syntax"
)

// maxRegexCost keeps expressions below the memory that RE2 allows by default;
// it counts instructions and character ranges.
const maxRegexCost = 10_000

// Why an expression cannot be used.
var (
	ErrRegexEmpty = errors.New("the expression is empty")
	ErrRegexLarge = errors.New("it is too large: simplify its classes and repetitions")
)

// CheckRegex says whether Envoy takes an expression, and returns the number of
// its capture groups. Go's syntax is that of RE2, which Envoy uses; Envoy also
// limits the size.
func CheckRegex(expr string) (groups int, err error) {
	if expr == "" {
		return 0, ErrRegexEmpty
	}
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0, err //nolint:wrapcheck // who calls says which expression
	}
	groups = re.MaxCap()
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, err //nolint:wrapcheck // who calls says which expression
	}
	cost := 0
	for i := range prog.Inst {
		if cost += 1 + len(prog.Inst[i].Rune); cost > maxRegexCost {
			return 0, ErrRegexLarge
		}
	}
	return groups, nil
}
