package httpbsrpc

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"

	"github.com/bsrpc/bsrpc/layout"
)

// The console: a page that calls the methods of the server as any caller with JSON does, with
// the same authentication. It asks for the description of the server in bsrpc.v1.

//go:embed console
var consoleFiles embed.FS

var consolePage = template.Must(template.ParseFS(consoleFiles, "console/index.html"))

// consolePolicy allows the page its own files and calls, and no others. TrustedTypes keep texts of the
// server from becoming elements.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// pathLayout is the path at which the page asks for the tree of a layout.
const pathLayout = "/console/layout"

// serveConsole serves a file of the console. It reports false for other paths.
func (h *handler) serveConsole(w http.ResponseWriter, r *http.Request) bool {
	head := w.Header()
	head.Set("Content-Security-Policy", consolePolicy)
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	switch path := r.URL.Path; path {
	case "/":
		var page bytes.Buffer
		consolePage.Execute(&page, h.ConsoleAddress) // a text cannot fail
		head.Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page.Bytes())
	case "/console.css", "/console.js", "/forms.js":
		http.ServeFileFS(w, r, consoleFiles, "console"+path)
	default:
		return false
	}
	return true
}

// A typeTree is what the page needs of a layout for a form.
type typeTree struct {
	Kind    string      `json:"kind"`
	Text    string      `json:"text,omitempty"`    // of a value without parts
	Example string      `json:"example,omitempty"` // JSON to begin with, of a value that the page takes as JSON
	Len     int         `json:"len,omitempty"`
	Up      int         `json:"up,omitempty"` // levels up to the type that contains itself here
	Elem    *typeTree   `json:"elem,omitempty"`
	Fields  []fieldTree `json:"fields,omitempty"`
}

type fieldTree struct {
	Name string    `json:"name"`
	Type *typeTree `json:"type"`
}

// kindNames are the kinds with inputs of their own. The page takes others as JSON.
var kindNames = map[layout.Kind]string{
	layout.Bool: "bool", layout.Int: "int", layout.Uint: "uint", layout.Float: "float", layout.String: "string",
	layout.Bytes: "bytes", layout.Time: "time", layout.Duration: "duration", layout.Array: "array", layout.Slice: "slice",
	layout.Map: "map", layout.Pointer: "pointer", layout.Struct: "struct", layout.Union: "union", layout.Binary: "binary",
	layout.Text: "text", layout.Stream: "stream", layout.Reader: "reader", layout.Func: "func",
}

// treeOf returns the tree of a type from ParseMethod, which has no shared parts.
func treeOf(t *layout.Type) *typeTree {
	tree := &typeTree{Kind: kindNames[t.Kind]}
	if t.Elem == nil && t.Fields == nil {
		tree.Text = t.String()
	}
	if t.Elem != nil {
		tree.Elem = treeOf(t.Elem)
	}
	switch t.Kind {
	case layout.Array:
		tree.Len = t.Len
	case layout.BackRef:
		tree.Up = t.Len
	case layout.Complex:
		tree.Example = "[0,0]"
	case layout.Map:
		if tree.Example = "{}"; t.Key.Elem != nil || t.Key.Fields != nil {
			tree.Example = "[]" // pairs
		}
	}
	for _, f := range t.Fields {
		tree.Fields = append(tree.Fields, fieldTree{f.Name, treeOf(f.Type)})
	}
	return tree
}

// serveLayout answers the text of a layout with its tree. The text is the caller's, so it needs no
// permission.
func (x *exchange) serveLayout() {
	body, why := x.read(2 * layout.MaxText)
	if why != nil {
		x.refuse(why)
		return
	}
	var text string
	err := json.Unmarshal(body, &text)
	m, failed := layout.ParseMethod(text)
	if err != nil || failed != nil {
		x.refuse(invalid("want the layout of a method as a string"))
		return
	}
	trees := map[string][]*typeTree{"params": {}, "results": {}}
	for _, p := range m.Params {
		trees["params"] = append(trees["params"], treeOf(p))
	}
	for _, r := range m.Results {
		trees["results"] = append(trees["results"], treeOf(r))
	}
	x.w.Header().Set("Content-Type", typeJSON)
	json.NewEncoder(x.w).Encode(trees)
}
