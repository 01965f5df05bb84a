package accesslog_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/accesslog"
)

// docs/accesslog.md lists the commands, the default text and the default members.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/accesslog.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.Contains(text, "\n"+accesslog.DefaultText+"\n") {
		t.Error("the default text is another")
	}
	members := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| `(.*)` \\|$").FindAllStringSubmatch(text, -1) {
		members[m[1]] = m[2]
	}
	if diff := cmp.Diff(accesslog.DefaultFields(), members); diff != "" {
		t.Errorf("default members (-code, +docs):\n%s", diff)
	}
	_, table, _ := strings.Cut(text, "| Argument | Commands |")
	table, _, _ = strings.Cut(table, "\n\n")
	var commands []string
	for row := range strings.SplitSeq(table, "\n") {
		for _, m := range regexp.MustCompile("`([A-Z0-9_]+)`").FindAllStringSubmatch(row, -1) {
			commands = append(commands, m[1])
		}
	}
	slices.Sort(commands)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(accesslog.Commands())), commands); diff != "" {
		t.Errorf("commands (-code, +docs):\n%s", diff)
	}
}
