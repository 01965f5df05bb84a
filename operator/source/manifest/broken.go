package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/signetproxy/signet/operator/source"
)

// plainError is why a document is broken, in words that hold nothing of what a
// Secret may keep, and where in it.
type plainError struct {
	path string
	err  error
}

func (e *plainError) Error() string { return e.err.Error() }
func (e *plainError) Unwrap() error { return e.err }

func at(path string, err error) error { return &plainError{path, err} }

const twice = "a key stands twice in its mapping"

// duplicates turns what strict decoding of JSON says into errors that do not name
// the keys: an unquoted password with a colon is one.
func duplicates(strict []error) error {
	out := make([]error, len(strict))
	for i, err := range strict {
		path := ""
		if field := interface{ FieldPath() string }(nil); errors.As(err, &field) {
			path = field.FieldPath()
		}
		out[i] = at(path, errors.New(twice))
	}
	return errors.Join(out...)
}

// json returns the document as JSON.
func (doc document) json() ([]byte, error) {
	if trimmed := strings.TrimSpace(string(doc.text)); strings.HasPrefix(trimmed, "{") && json.Valid([]byte(trimmed)) {
		return []byte(trimmed), nil
	}
	return yaml.YAMLToJSONStrict(doc.text) //nolint:wrapcheck // broken says what it may
}

// broken turns an error about a whole document into problems.
func (doc document) broken(err error) []source.Problem {
	if plain := (*plainError)(nil); !errors.As(err, &plain) {
		return doc.unparsed(err)
	}
	errs := []error{err}
	if joined := interface{ Unwrap() []error }(nil); errors.As(err, &joined) {
		errs = joined.Unwrap()
	}
	var out []source.Problem
	for _, err := range errs {
		if plain := (*plainError)(nil); errors.As(err, &plain) {
			out = append(out, source.Problem{Line: doc.lineOf(plain.path), Message: plain.Error(), Severity: source.Error})
		}
	}
	return out
}

var (
	yamlHeading = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\n)?`)
	yamlLine    = regexp.MustCompile(`^line (\d+): `)
)

// unparsed turns a parser's error into problems. The parsers quote what they read,
// and nobody knows of what kind a broken document is: only words that are known to
// be the parser's own are shown.
func (doc document) unparsed(err error) []source.Problem {
	var out []source.Problem
	text := err.Error()
	heading := yamlHeading.FindString(text)
	lines := []string{text[len(heading):]}
	if strings.HasSuffix(heading, "\n") {
		lines = strings.Split(lines[0], "\n")
	}
	for _, text := range lines {
		p := source.Problem{Line: doc.line, Message: strings.TrimSpace(text), Severity: source.Error}
		m := yamlLine.FindStringSubmatch(p.Message)
		if m != nil {
			n, _ := strconv.Atoi(m[1])
			p.Line, p.Message = doc.first+n-1, p.Message[len(m[0]):]
		}
		message, line := doc.explain(p.Message)
		p.Message = message
		if m == nil && line > 0 {
			p.Line = line
		}
		out = append(out, p)
	}
	return out
}

// explain says what a parser's message means without what it quotes, and finds its
// line if the parser does not name one; 0 is none.
func (doc document) explain(message string) (plain string, line int) {
	if ownWords[message] || exceededDepth.MatchString(message) {
		return message, 0
	}
	for _, e := range explanations {
		if m := e.pattern.FindStringSubmatch(message); m != nil {
			if e.line != nil {
				line = e.line(doc, m[1])
			}
			return e.plain, line
		}
	}
	return "it cannot be read as YAML or JSON", 0
}

// explanations are for messages that quote. The group is what its line is found by.
var explanations = []struct {
	pattern *regexp.Regexp
	plain   string
	line    func(doc document, quoted string) int
}{
	{
		regexp.MustCompile(`(?s)^unknown anchor '(.*)' referenced$`),
		"an alias names an anchor that the document does not have: quote a text that begins with *", document.aliasLine,
	},
	{regexp.MustCompile(`(?s)^anchor '(.*)' value contains itself$`), "an anchor's value contains itself", document.aliasLine},
	{regexp.MustCompile("(?s)^cannot decode !!\\w+ `(.*)` as a "), "a value is not what its tag says", document.tagLine},
	{
		regexp.MustCompile(`^(?:unsupported|invalid) (map key)`),
		"a key is not text: quote it, or write what is missing before the colon", document.keyLine,
	},
	{regexp.MustCompile(`(?s)^key .* already set in map$`), twice, nil},
	{regexp.MustCompile(`^json: unsupported value`), "a number has no value in JSON, as .inf and .nan", nil},
	{regexp.MustCompile(`^json: cannot unmarshal number`), "a number is too large", nil},
}

// aliasLine is the line at which an anchor is first referred to. The document's
// nodes do not say: it cannot be parsed.
func (doc document) aliasLine(name string) int {
	found := regexp.MustCompile(`\*` + regexp.QuoteMeta(name) + `(?:[\s,\]}]|$)`).FindIndex(doc.text)
	if found == nil {
		return 0
	}
	return doc.first + bytes.Count(doc.text[:found[0]], []byte("\n"))
}

func (doc document) tagLine(value string) int {
	return doc.lineWith(func(n *yamlnode.Node, _ bool) bool {
		return n.Kind == yamlnode.ScalarNode && n.Style&yamlnode.TaggedStyle != 0 && n.Value == value
	})
}

// keyLine is the line of the first key that JSON cannot have.
func (doc document) keyLine(string) int {
	return doc.lineWith(func(n *yamlnode.Node, key bool) bool {
		return key && (n.Kind == yamlnode.MappingNode || n.Kind == yamlnode.SequenceNode || n.ShortTag() == "!!null")
	})
}

// lineWith is the line of the first node that is found; 0 for none.
func (doc document) lineWith(found func(n *yamlnode.Node, key bool) bool) int {
	var walk func(n *yamlnode.Node, key bool) *yamlnode.Node
	walk = func(n *yamlnode.Node, key bool) *yamlnode.Node {
		if found(n, key) {
			return n
		}
		for i, part := range n.Content {
			if out := walk(part, n.Kind == yamlnode.MappingNode && i%2 == 0); out != nil {
				return out
			}
		}
		return nil
	}
	if root := doc.root(); root != nil {
		if n := walk(root, false); n != nil {
			return doc.first + n.Line - 1
		}
	}
	return 0
}

// ownWords are messages of go.yaml.in/yaml that quote nothing. Others may.
var ownWords = func() map[string]bool {
	out := map[string]bool{}
	for m := range strings.Lines(wordsOfYAML) {
		out[strings.TrimSpace(m)] = true
	}
	return out
}()

var exceededDepth = regexp.MustCompile(`^exceeded max depth of \d+$`)

const wordsOfYAML = `!!binary value contains invalid base64 data
block sequence entries are not allowed in this context
control characters are not allowed
could not find expected ':'
could not find expected directive name
did not find URI escaped octet
did not find expected '!'
did not find expected ',' or ']'
did not find expected ',' or '}'
did not find expected '-' indicator
did not find expected <document start>
did not find expected alphabetic or numeric character
did not find expected comment or line break
did not find expected digit or '.' character
did not find expected hexdecimal number
did not find expected key
did not find expected node content
did not find expected tag URI
did not find expected version number
did not find expected whitespace
did not find expected whitespace or line break
did not find the expected '>'
document contains excessive aliasing
found a tab character that violates indentation
found a tab character where an indentation space is expected
found an indentation indicator equal to 0
found character that cannot start any token
found duplicate %TAG directive
found duplicate %YAML directive
found extremely long version number
found incompatible YAML document
found invalid Unicode character escape code
found undefined tag handle
found unexpected document indicator
found unexpected end of stream
found unexpected non-alphabetical character
found unknown directive name
found unknown escape character
incomplete UTF-8 octet sequence
invalid Unicode character
invalid leading UTF-8 octet
invalid length of a UTF-8 sequence
invalid trailing UTF-8 octet
map merge requires map or sequence of maps as the value
mapping keys are not allowed in this context
mapping values are not allowed in this context
`
