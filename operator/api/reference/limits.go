package reference

import (
	"fmt"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// limitsOf are the limits of a field in few words, and those of what it holds.
func limitsOf(p *apiextensionsv1.JSONSchemaProps) []string {
	var out []string
	add := func(text string) {
		if text != "" {
			out = append(out, text)
		}
	}
	if len(p.Enum) > 0 {
		values := make([]string, len(p.Enum))
		for i := range p.Enum {
			values[i] = code(strings.Trim(string(p.Enum[i].Raw), `"`))
		}
		add("one of " + strings.Join(values, ", "))
	}
	add(bounds(number(p.Minimum), number(p.Maximum), ""))
	add(bounds(whole(p.MinLength), whole(p.MaxLength), "characters"))
	add(bounds(whole(p.MinItems), whole(p.MaxItems), "entries"))
	add(bounds(whole(p.MinProperties), whole(p.MaxProperties), "members"))
	if p.Pattern != "" {
		add("matches " + code(p.Pattern))
	}
	if p.XListType != nil && *p.XListType == "set" {
		add("no entry twice")
	}
	if p.XPreserveUnknownFields != nil && *p.XPreserveUnknownFields {
		add("any fields")
	}
	// Those of an object stand in its section.
	if len(p.Properties) == 0 {
		for i := range p.XValidations {
			add(line(p.XValidations[i].Message))
		}
	}
	for _, inner := range held(p) {
		if len(inner.Properties) > 0 {
			continue
		}
		if each := limitsOf(inner); len(each) > 0 {
			add("each " + strings.Join(each, ", "))
		}
	}
	return out
}

// held are the entries of a list and the values of a map.
func held(p *apiextensionsv1.JSONSchemaProps) []*apiextensionsv1.JSONSchemaProps {
	switch {
	case p.Items != nil && p.Items.Schema != nil:
		return []*apiextensionsv1.JSONSchemaProps{p.Items.Schema}
	case p.AdditionalProperties != nil && p.AdditionalProperties.Schema != nil:
		return []*apiextensionsv1.JSONSchemaProps{p.AdditionalProperties.Schema}
	}
	return nil
}

func bounds(low, high, unit string) string {
	var text string
	switch {
	case low != "" && high != "":
		text = low + " to " + high
	case low != "":
		text = "at least " + low
	case high != "":
		text = "at most " + high
	default:
		return ""
	}
	return strings.TrimSpace(text + " " + unit)
}

func number(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

func whole(n *int64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

// code is text as it is.
func code(text string) string {
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		text = " " + text + " "
	}
	return fence + text + fence
}

// cell is text within a table, where a bar would begin another column.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// line is a description as one line.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

// paragraphs are those of a description, each as one line.
func paragraphs(text string) string {
	var out []string
	for p := range strings.SplitSeq(text, "\n\n") {
		if l := line(p); l != "" {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n\n")
}
