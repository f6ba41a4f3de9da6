package method

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/plural"
)

// A Problem is one thing that is wrong with a service or a type.
type Problem struct {
	Path string // from the method on: "Shop.F, parameter 1, Order.Price"; "" for a value itself
	Text string
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// ServiceError returns one error for all problems of a service, its name included,
// or nil if there are none. doing says what failed: "register" or "bind".
func ServiceError(doing, service string, problems []Problem) error {
	if err := ValidService(service); err != nil {
		problems = append([]Problem{{"service name", err.Error()}}, problems...)
		service = strconv.Quote(cut(service, 64))
	}
	if len(problems) == 0 {
		return nil
	}
	return ProblemsError(doing+" "+service, problems)
}

// ProblemsError returns one error for all problems, a line each.
func ProblemsError(doing string, problems []Problem) error {
	var b strings.Builder
	fmt.Fprintf(&b, "bsrpc: %s: %s", doing, plural.Of(len(problems), "problem"))
	for _, p := range problems {
		b.WriteString("\n    " + p.String())
	}
	return errors.New(b.String())
}

// cut shortens s to at most n bytes, at the end of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
