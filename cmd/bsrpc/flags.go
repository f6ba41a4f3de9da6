package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// An optionText is an option of this end in texts of the library, and what it is to the user of this
// command: a flag, or a limit of the command's own. own is set for texts that mean the server at the server.
type optionText struct {
	library *regexp.Regexp
	command string
	own     bool
}

// plainTexts are words of Go in texts of the library, and those of this command.
var plainTexts = strings.NewReplacer("context deadline exceeded", "out of time", "context canceled", "interrupted")

// optionTexts are the options of this end that errors can name. Those of the server keep their names:
// whoever runs it sets them.
var optionTexts = []optionText{
	{regexp.MustCompile(`the client's MaxMessage`), "--max-message", false},
	{regexp.MustCompile(`the client's Limits\.[A-Z]\w*(, [A-Z]\w*)*`), "this command's limit", false},
	{regexp.MustCompile(`on this connection \((the server's Max\w+ is \d+)\)`), "on this connection ($1); in a bench, more --connections or a lower --concurrency help", false},
	{regexp.MustCompile(`this end's MaxMessage`), "--max-message", true},
	{regexp.MustCompile(`this end's Limits\.\w+`), "this command's limit", true},
	{regexp.MustCompile(`Limits\.DecodeBudget \(\d+\)`), "--max-message", true},
	{regexp.MustCompile(`nested deeper than MaxDepth \((\d+)\)`), "nested deeper than $1 levels, the most of this command", true},
	{regexp.MustCompile(`\((DefaultCall|Dial)Timeout\)(; give the context a deadline, or the method timeout=)?`), "(--timeout)", true},
	{regexp.MustCompile(`set ClientOptions\.TLS`), "add --tls, or --ca for an authority of your own", false},
	{regexp.MustCompile(`set TLS, or InsecureCredentials`), "add --tls or --ca, or --insecure-credentials", true},
	{regexp.MustCompile(`TLS\.ServerName is not set, and the connection has no host name; set it to`), "the address has no host name; give --server-name,", true},
	{regexp.MustCompile(`ClientOptions\.Basic allows it`), "it does not describe its methods, and bsrpc cannot call them", false},
}

// libraryPrefix begins the texts of the library, and no other ones.
const libraryPrefix = "bsrpc: "

// inFlags returns a text of the library with the flags of this command in place of options of Go.
// Other texts stay as they are. remote tells that the server has sent it.
func inFlags(text string, remote bool) string {
	text, ours := strings.CutPrefix(text, libraryPrefix)
	if !ours {
		return text
	}
	text = plainTexts.Replace(text)
	for _, o := range optionTexts {
		if !o.own || !remote {
			text = o.library.ReplaceAllString(text, o.command)
		}
	}
	return text
}

// A sizeFlag is a number of bytes as a flag: 4096, 64MiB or 1GiB.
type sizeFlag int

// The sizes of a message that the library accepts.
const (
	defaultSize = 16 << 20
	maxSize     = 1 << 30
)

var sizeUnits = []struct {
	name  string
	shift int
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}, {"", 0}}

// Set parses a size.
func (s *sizeFlag) Set(text string) error {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 31)
		if err != nil || n == 0 || n > maxSize>>u.shift {
			break
		}
		*s = sizeFlag(n << u.shift)
		return nil
	}
	return fmt.Errorf("want a size up to 1GiB, such as 64MiB")
}

// String returns the size in the largest unit without a fraction.
func (s *sizeFlag) String() string {
	for _, u := range sizeUnits {
		if n := int(*s); n>>u.shift<<u.shift == n && n != 0 {
			return strconv.Itoa(n>>u.shift) + u.name
		}
	}
	return "0"
}

// Type returns the word for a value in the help.
func (s *sizeFlag) Type() string { return "size" }
