package manifest

import (
	"strings"
	"testing"
)

// The parsers quote what they read, which may be a password: nothing of it is to
// be shown, neither in the folder's log nor by signet status.
func TestBrokenDocumentsShowNothingOfThemselves(t *testing.T) {
	t.Parallel()
	const (
		marker = "hunter2"
		head   = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	)
	cases := map[string]struct{ reason, text, want string }{
		"alias": {
			reason: "an unquoted * names an anchor", text: head + "stringData:\n  password: *hunter2\n",
			want: `:5: an alias names an anchor that the document does not have: quote a text that begins with *`,
		},
		"alias in a list": {
			reason: "the line is that of the file", text: "---\n# x\n---\n" + head + "stringData: {a: b, password: *hunter2}\n",
			want: `:7: an alias names an anchor that the document does not have: quote a text that begins with *`,
		},
		"itself": {
			reason: "an anchor in its own value", text: head + "stringData:\n  a: &hunter2 [*hunter2]\n",
			want: `:5: an anchor's value contains itself`,
		},
		"tag": {
			reason: "a tag that does not fit", text: head + "stringData:\n  a: b\n  password: !!int hunter2\n",
			want: `:6: a value is not what its tag says`,
		},
		"tag of several lines": {
			reason: "each line of an error is a line of the value", text: head + "stringData:\n  password: !!int \"1\n\n    hunter2\n\n    line 7: hunter2\"\n",
			want: `:5: a value is not what its tag says`,
		},
		"no key": {
			reason: "a key is null", text: head + "stringData:\n  ~: hunter2\n",
			want: `:5: a key is not text: quote it, or write what is missing before the colon`,
		},
		"list as key": {
			reason: "a key is a list", text: head + "stringData:\n  ? [hunter2]\n  : x\n",
			want: `:5: a key is not text: quote it, or write what is missing before the colon`,
		},
		"twice": {
			reason: "a password with a colon is a key", text: head + "stringData:\n  hunter2: a\n  b: c\n  hunter2: d\n",
			want: `:7: a key stands twice in its mapping`,
		},
		"twice in JSON": {
			reason: "in JSON too", text: "{\"apiVersion\": \"v1\", \"kind\": \"Secret\",\n\"metadata\": {\"name\": \"s\"},\n\"stringData\": {\n\"hunter2\": \"a\",\n\"hunter2\": \"b\"}}\n",
			want: `:4: a key stands twice in its mapping`,
		},
		"number": {
			reason: "no number of JSON's", text: head + "data:\n  hunter2: .inf\n",
			want: `:1: a number has no value in JSON, as .inf and .nan`,
		},
		"large number": {
			reason: "more than a number of JSON's", text: `{"apiVersion": "v1", "kind": "Secret", "hunter2": 27182818e999}`,
			want: `:1: a number is too large`,
		},
		"merge": {
			reason: "only mappings are merged", text: head + "stringData:\n  <<: hunter2\n",
			want: `:1: map merge requires map or sequence of maps as the value`,
		},
		"syntax": {
			reason: "the parser's own words stay", text: head + "stringData:\n  password: hunter2: hunter2\n",
			want: `:5: mapping values are not allowed in this context`,
		},
		"no end": {
			reason: "the parser's own words stay", text: head + "stringData:\n  password: \"hunter2\n",
			want: `:6: found unexpected end of stream`,
		},
		"version": {
			reason: "it says what it is to be", text: "apiVersion: v1/2/hunter2\nkind: Secret\nmetadata: {name: s}\n",
			want: `:1: apiVersion: must be a version, or a group and a version: group/version`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := decoder(t).Parse([]byte(tc.text))
			var got []string
			for _, p := range f.Problems {
				got = append(got, p.String())
			}
			all := strings.Join(got, "\n")
			if strings.Contains(all, marker) || strings.Contains(all, "27182818") {
				t.Errorf("%s: what the document says is shown: %s", tc.reason, all)
			}
			if all != tc.want || !f.Broken {
				t.Errorf("%s: broken %t, %s\nwant %s", tc.reason, f.Broken, all, tc.want)
			}
		})
	}
}
