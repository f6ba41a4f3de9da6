package bsrpctest

// The file of released texts:
//
//	# Shop: the text of every method ever released, for bsrpctest.Golden.
//	2026-01-31 clients Shop.Place({Item string.le4; Count int.le4}) int.le8
//	2026-05-04 Shop.Place({Item string.le4; Count int.le8}) int.le8
//	2026-01-31 Shop.Cancel(int.le8)
//
// A text is in use from its date until that of the next text of its method. The word clients
// tells that its servers are out of use already. The order of lines has no meaning, and equal
// lines count once, so that the lines of two branches can be kept as they are.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/layout"
)

// records is a file of released texts. Lines keep their order and their comments, so that
// a change of the file is a small difference, and two branches can be merged.
type records struct {
	path    string
	lines   []line
	newline string // as in the file: an editor may have changed it
	bom     string // at the start of the file; usually ""
}

// A line is one line of the file, without its end. A comment or an empty line has no record.
type line struct {
	content string
	*record
}

// A record is the text of a method, with the date of its first release.
type record struct {
	date    string
	clients bool // its servers are retired
	text    string
	layout  *layout.Method
}

// clientsWord stands before the text of a record without servers.
const clientsWord = "clients "

// String returns the line of r.
func (r *record) String() string {
	if r.clients {
		return r.date + " " + clientsWord + r.text
	}
	return r.date + " " + r.text
}

// name returns the full name of the method.
func (r *record) name() string { return fullName(r.layout) }

const byteOrderMark = "\ufeff"

// conflictMarkers begin the lines that git adds around a conflict.
var conflictMarkers = []string{"<<<<<<<", "|||||||", "=======", ">>>>>>>"}

// parseRecords parses a file. data may be empty.
func parseRecords(path string, data []byte) (*records, error) {
	f := &records{path: path, newline: "\n"}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: not UTF-8", path)
	}
	text, ok := strings.CutPrefix(string(data), byteOrderMark)
	if ok {
		f.bom = byteOrderMark
	}
	if strings.Contains(text, "\r\n") {
		f.newline = "\r\n"
	}
	text = strings.TrimRight(text, "\r\n")
	if text == "" {
		return f, nil
	}
	var problems []string
	for i, content := range strings.Split(text, "\n") {
		l := line{content: strings.TrimRight(content, "\r")}
		if content = strings.TrimSpace(content); content != "" && content[0] != '#' {
			var err error
			if l.record, err = parseRecord(content); err != nil {
				problems = append(problems, fmt.Sprintf("%s:%d: %v", path, i+1, err))
			}
		}
		f.lines = append(f.lines, l)
	}
	return f, listed(problems)
}

// maxMalformed is the number of malformed lines in an error: a file of another kind has
// many.
const maxMalformed = 4

// listed returns an error with the problems, one a line; nil without any.
func listed(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	if more := len(problems) - maxMalformed; more > 0 {
		problems = append(problems[:maxMalformed], fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(problems, "\n"))
}

// parseRecord parses a line.
func parseRecord(content string) (*record, error) {
	for _, marker := range conflictMarkers {
		if strings.HasPrefix(content, marker) {
			return nil, errors.New("a conflict of a merge; keep the lines of both sides, without the markers")
		}
	}
	r := new(record)
	r.date, r.text, _ = strings.Cut(content, " ")
	if _, err := time.Parse(time.DateOnly, r.date); err != nil {
		return nil, errors.New("want a date and the text of a method, as in 2026-01-31 Shop.Pay(int.le8) bool")
	}
	r.text, r.clients = strings.CutPrefix(strings.TrimLeft(r.text, " "), clientsWord)
	r.text = strings.TrimLeft(r.text, " ")
	var err error
	if r.layout, err = layout.ParseMethod(r.text); err != nil {
		return nil, fmt.Errorf("the text of the method: %w", err)
	}
	return r, nil
}

// service returns the service of a contract in f, or own if f has no lines.
func (f *records) service(own string) (string, error) {
	var services []string
	for _, r := range f.all() {
		if !slices.Contains(services, r.layout.Service) {
			services = append(services, r.layout.Service)
		}
	}
	switch {
	case len(services) == 1:
		return services[0], nil
	case len(services) == 0 && own == "":
		return "", errors.New("the type of the contract has no name; declare one")
	case len(services) == 0 && method.ValidService(own) != nil:
		return "", fmt.Errorf("the type of the contract, %s, is not a valid service name; declare a type for it", own)
	case len(services) == 0 || slices.Contains(services, own):
		return own, nil
	}
	return "", fmt.Errorf("%s has the services %s, and the contract is one; give each contract its own file, or pass the server with all of them",
		f.path, strings.Join(services, ", "))
}

// all returns the records, in the order of the lines.
func (f *records) all() (list []*record) {
	for _, l := range f.lines {
		if l.record != nil {
			list = append(list, l.record)
		}
	}
	return list
}

// of returns the records of a method, the oldest first. Texts of one day stay in the order of
// the lines: two branches may have added them.
func (f *records) of(name string) []*record {
	list := slices.DeleteFunc(f.all(), func(r *record) bool { return r.name() != name })
	slices.SortStableFunc(list, func(a, b *record) int { return strings.Compare(a.date, b.date) })
	return list
}

// last returns the date of the latest release, "" without any.
func (f *records) last() (date string) {
	for _, r := range f.all() {
		date = max(date, r.date)
	}
	return date
}

// until returns the date of the next text of r's method. For the latest it is today: a
// contract with another text, or without the method, replaces it today.
func (f *records) until(r *record) string {
	for _, later := range f.of(r.name()) {
		if later.date > r.date {
			return later.date
		}
	}
	return today()
}

// record adds the texts of methods under the date of today. A text follows the others of
// its method: two branches that change different methods then merge without conflict.
func (f *records) record(d *described, methods []*current) {
	if len(f.lines) == 0 {
		f.lines = []line{
			{content: "# " + d.name + ": the text of every method ever released, for bsrpctest.Golden."},
			{content: "# After a change that fits all of them: " + goldenVariable + "=update go test"},
		}
	}
	// Comments at the end of the file stay above the lines of new methods.
	for _, m := range methods {
		at := len(f.lines)
		for i, l := range f.lines {
			if l.record != nil && l.name() == m.name() {
				at = i + 1
			}
		}
		r := &record{date: today(), text: m.text, layout: m.layout}
		f.lines = slices.Insert(f.lines, at, line{r.String(), r})
	}
}

// A retirement is a text removed from the file, or its servers.
type retirement struct {
	*record
	until string // the date of the release that replaced it
}

// retire removes the texts that another release of their method, or the contract itself,
// replaced by a date. Programs of that day and later ones stay supported. With servers, it
// only marks that no servers with these texts are left.
func (f *records) retire(d *described, date string, servers bool) (retired []retirement) {
	for _, r := range f.all() {
		m, until := d.find(r.name()), f.until(r)
		if until <= date && (m == nil || m.text != r.text) && !(servers && r.clients) {
			retired = append(retired, retirement{r, until})
		}
	}
	among := func(l line) bool {
		return slices.ContainsFunc(retired, func(r retirement) bool { return r.record == l.record })
	}
	if !servers {
		f.lines = slices.DeleteFunc(f.lines, among)
		return retired
	}
	for i, l := range f.lines {
		if among(l) {
			marked := *l.record // retired keeps the record as it was, for its text
			marked.clients = true
			f.lines[i] = line{marked.String(), &marked}
		}
	}
	return retired
}

// write writes the file with the line ends it had. It creates the folder, too: a package without testdata is usual.
func (f *records) write() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o777); err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(f.bom)
	for _, l := range f.lines {
		b.WriteString(l.content + f.newline)
	}
	return os.WriteFile(f.path, b.Bytes(), 0o666)
}
