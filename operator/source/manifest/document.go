package manifest

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	yamlnode "go.yaml.in/yaml/v3"
)

// document is one document of a text.
type document struct {
	text []byte
	// first is the line of the text at which the document's text begins, from
	// 1; line is that of its first content.
	first, line int
	// path of the object within it, for those of a list.
	path string
	// nodes are shared by the copies.
	nodes *nodes
}

// nodes are the parts of a text with their lines. They are parsed when somebody
// asks for a line, and once: a list has thousands of items, each with a line.
type nodes struct {
	once sync.Once
	root *yamlnode.Node // nil if it cannot be parsed
}

// root returns the document's content; nil if it cannot be parsed.
func (doc document) root() *yamlnode.Node {
	doc.nodes.once.Do(func() {
		var n yamlnode.Node
		if yamlnode.Unmarshal(doc.text, &n) == nil && len(n.Content) > 0 {
			doc.nodes.root = n.Content[0]
		}
	})
	return doc.nodes.root
}

// forget gives the memory back. The copies may ask again.
func (doc document) forget() { *doc.nodes = nodes{} }

// split divides a text at the lines that begin with --- or ... and leaves out
// documents without content. Directives stay with the document that follows.
func split(text []byte) []document {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	var out []document
	begin, first, number, line := 0, 1, 0, 0
	directives := false
	end := func(to int) {
		if line > 0 {
			out = append(out, document{text: text[begin:to], first: first, line: line, nodes: &nodes{}})
		}
		line = 0
	}
	for at := 0; at < len(text); {
		next := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		number++
		content, marker := markerOf(text[at:next])
		switch {
		case marker == "---" && (!directives || line > 0):
			end(at)
			begin, first = at, number
		case marker == "...":
			end(at)
			begin, first = next, number+1
		}
		switch {
		case marker == "" && text[at] == '%' && line == 0:
			directives = true
		case content && line == 0:
			line, directives = number, false
		}
		at = next
	}
	end(len(text))
	return out
}

// markerOf tells whether a line has content besides comments, and which marker
// it begins with.
func markerOf(line []byte) (content bool, marker string) {
	rest := line
	for _, m := range []string{"---", "..."} {
		after, ok := bytes.CutPrefix(line, []byte(m))
		if ok && (len(after) == 0 || strings.ContainsRune(" \t\r\n", rune(after[0]))) {
			rest, marker = after, m
		}
	}
	rest = bytes.TrimSpace(rest)
	return len(rest) > 0 && rest[0] != '#', marker
}

// lineOf returns the line of a field of the document's object: of the deepest
// part of the path that is there.
func (doc document) lineOf(path string) int {
	node, line := doc.root(), doc.line
	if node == nil {
		return line
	}
	for _, step := range append(steps(doc.path), steps(path)...) {
		key, value := child(node, step)
		if value == nil {
			break
		}
		node, line = value, doc.first+key.Line-1
	}
	return line
}

// steps divides a path as spec.routes[0].services[0].port or data[tls.crt].
func steps(path string) []string {
	var out []string
	for path != "" {
		switch path[0] {
		case '.':
			path = path[1:]
		case '[':
			inner, rest, _ := strings.Cut(path[1:], "]")
			out, path = append(out, inner), rest
		default:
			i := strings.IndexAny(path, ".[")
			if i < 0 {
				i = len(path)
			}
			out, path = append(out, path[:i]), path[i:]
		}
	}
	return out
}

// child returns the node that a step leads to, and the node at which it is
// written: the key of a mapping, the item of a sequence.
func child(node *yamlnode.Node, step string) (key, value *yamlnode.Node) {
	switch node.Kind {
	case yamlnode.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yamlnode.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	case yamlnode.AliasNode:
		return child(node.Alias, step)
	default:
	}
	return nil, nil
}
