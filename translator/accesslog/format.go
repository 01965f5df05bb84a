package accesslog

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// command is one command of a format string: its name, what stands in
// parentheses, and the length that it is cut to. An argument holds no ')'.
var command = regexp.MustCompile(`^%([A-Z0-9_]+)(\([^)]*\))?(?::([0-9]+))?%`)

// longest is the largest length that a value may be cut to.
const longest = 65536

// check says why Envoy would not take a format string, or "".
func check(format string) string {
	if i := strings.IndexFunc(format, unprintable); i >= 0 {
		return fmt.Sprintf("there is a control character at %d: write printable characters, tabs and line breaks", i)
	}
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			return ""
		}
		format = format[i:]
		if strings.HasPrefix(format, "%%") {
			format = format[2:]
			continue
		}
		m := command.FindStringSubmatch(format)
		if m == nil {
			return fmt.Sprintf("no command begins at %q: write one as %%RESPONSE_CODE%%, or %%%% for a per cent sign", clip(format))
		}
		if fault := checkCommand(m[0], m[1], m[2], m[3]); fault != "" {
			return fault
		}
		format = format[len(m[0]):]
	}
}

func unprintable(r rune) bool {
	return r != '\n' && r != '\t' && (r < ' ' || r == 0x7f)
}

func checkCommand(whole, name, argument, length string) string {
	c, known := commands[name]
	if !known {
		return fmt.Sprintf("the command %q is unknown or not supported: docs/accesslog.md lists those there are", clip(whole))
	}
	if fault := c.checkArgument(argument); fault != "" {
		return fmt.Sprintf("the command %q %s", clip(whole), fault)
	}
	if length == "" {
		return ""
	}
	if !c.cut {
		return fmt.Sprintf("the command %q cannot be cut: leave \":%s\" out", clip(whole), clip(length))
	}
	if n, err := strconv.Atoi(length); err != nil || n > longest {
		return fmt.Sprintf("the command %q is to be cut to more than %d characters", clip(whole), longest)
	}
	return ""
}

func (c *syntax) checkArgument(argument string) string {
	inner, given := strings.CutPrefix(argument, "(")
	inner = strings.TrimSuffix(inner, ")")
	switch {
	case c.argument == nil && given:
		return "takes no argument"
	case c.argument == nil:
		return ""
	case !given && c.required, given && !c.argument.MatchString(inner):
		return "needs " + c.wants
	}
	return ""
}

// clip keeps messages short.
func clip(s string) string {
	const most = 64
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
