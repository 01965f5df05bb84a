package figures

import (
	"fmt"
	"slices"
	"strings"
)

// Scenario is what is measured. The scenarios of a command embed it, beside
// what they need to run.
type Scenario struct {
	// ID is short and unlike that of any other; About is one line.
	ID, About string
}

func (s Scenario) named() Scenario { return s }

// embedding is a type that embeds Scenario.
type embedding interface{ named() Scenario }

// Describe lists scenarios for people, one a line.
func Describe[S embedding](all []S) string {
	lines := make([]string, len(all))
	for i, s := range all {
		lines[i] = fmt.Sprintf("%-4s %s", s.named().ID, s.named().About)
	}
	return strings.Join(lines, "\n")
}

// Choose returns the scenarios of a list such as "D1,d3", in its order, and all
// for an empty one. The error tells what there is.
func Choose[S embedding](all []S, list string) ([]S, error) {
	if list == "" {
		return all, nil
	}
	var out []S
	for id := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(s S) bool { return strings.EqualFold(s.named().ID, id) })
		if i < 0 {
			return nil, fmt.Errorf("--scenario %q: there are\n%s", id, Describe(all))
		}
		out = append(out, all[i])
	}
	return out, nil
}
