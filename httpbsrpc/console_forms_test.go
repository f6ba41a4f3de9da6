package httpbsrpc_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

// shapes is a contract with values of all shapes.
type shapes struct {
	Login  func(ctx context.Context, l account) (account, error) `bsrpc:"names=account"`
	Tree   func(ctx context.Context, t tree) (tree, error)       `bsrpc:"names=tree"`
	Event  func(ctx context.Context, e event) (event, error)     `bsrpc:"names=event"`
	Maps   func(ctx context.Context, m map[[2]uint8]bool, c complex128, long [20]uint16) (map[[2]uint8]bool, complex128, [20]uint16, error)
	Photo  func(ctx context.Context, b []byte) (int, error)          `bsrpc:"names=photo"`
	Mirror func(ctx context.Context, s string) (string, error)       `bsrpc:"timeout=5s"`
	Long   func(ctx context.Context, n int) (string, error)          `bsrpc:"names=n"`
	Flood  func(ctx context.Context, n int) iter.Seq2[string, error] `bsrpc:"names=n"`
	Hold   func(ctx context.Context) iter.Seq2[int, error]
	File   func(ctx context.Context) (io.ReadCloser, error)
	Gone   func(ctx context.Context) error
	Alone  func(ctx context.Context) error `bsrpc:"exclusive=alone"`
	Upload func(ctx context.Context, r io.Reader) error
}

type account struct {
	User   string
	Secret string `bsrpc:"secret"`
}

type tree struct {
	Name string
	Size uint64
	Next *tree
	Kids []tree
}

type event struct {
	_     struct{} `bsrpc:"union"`
	Idle  *struct{}
	Alarm *struct{ Level uint8 }
	All   *[]event
}

var errGone = errors.New("gone")

func shapesServer(t *testing.T) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Errors: map[string]error{"shape.gone": errGone}})
	err := bsrpc.RegisterAs[shapes](srv, "Shapes", &shapes{
		Login: func(_ context.Context, v account) (account, error) { return v, nil },
		Tree:  func(_ context.Context, v tree) (tree, error) { return v, nil },
		Event: func(_ context.Context, v event) (event, error) { return v, nil },
		Maps: func(_ context.Context, m map[[2]uint8]bool, c complex128, long [20]uint16) (map[[2]uint8]bool, complex128, [20]uint16, error) {
			return m, c, long, nil
		},
		Photo:  func(_ context.Context, b []byte) (int, error) { return len(b), nil },
		Mirror: func(_ context.Context, s string) (string, error) { return s, nil },
		Long:   func(_ context.Context, n int) (string, error) { return strings.Repeat("x", n), nil },
		Flood: func(_ context.Context, n int) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for range n {
					if !yield(strings.Repeat("y", 1000), nil) {
						return
					}
				}
			}
		},
		Hold: func(ctx context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				if yield(1, nil) {
					<-ctx.Done()
				}
			}
		},
		File: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("two\nlines\n")), nil
		},
		Gone:   func(context.Context) error { return errGone },
		Alone:  func(context.Context) error { return nil },
		Upload: func(context.Context, io.Reader) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv
}

// browseShapes opens the console of a server with shapes, whose handler can be replaced.
func browseShapes(t *testing.T) (page, *atomic.Pointer[http.Handler]) {
	t.Helper()
	var h atomic.Pointer[http.Handler]
	console := httpbsrpc.Handler(shapesServer(t), &httpbsrpc.Options{Console: true})
	h.Store(&console)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*h.Load()).ServeHTTP(w, r) }))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	p := browse(t, web.URL)
	p.until(`document.querySelectorAll("nav button").length > 5`)
	return p, &h
}

// call types into the inputs of the form, and calls.
func (p page) call(keys string) {
	p.t.Helper()
	value[string](p, `current.outcome = $("outcome").textContent = ""`)
	p.do(chromedp.KeyEvent(keys + kb.Enter))
}

func TestConsoleForms(t *testing.T) {
	p, _ := browseShapes(t)
	click := func(selector string) { t.Helper(); p.do(chromedp.Click(selector)) }

	p.pick("Tree") // contains itself
	click(`//fieldset[legend="Kids"]/button[text()="Add"]`)
	click(`//fieldset[legend="Kids"]//fieldset[legend="Next"]//input[@type="checkbox"]`)
	click(`//fieldset[legend="Kids"]//fieldset[legend="Next"]//label[span="Name"]/input`)
	p.call("leaf")
	p.done("ok")
	p.has("output", `"Name": "leaf"`)
	p.has("command", `"Kids":[{"Name":"","Size":0,"Next":{"Name":"leaf","Size":0,"Next":null,"Kids":[]},"Kids":[]}]`)

	// As JSON, with all digits.
	click(`#json`)
	value[string](p, `current.json.value = '[{"Name": "root", "Size": 18446744073709551615, "Kids": [{"Next": {}}]}]'`)
	click(`#send`)
	p.until(`document.getElementById("output").textContent.includes("18446744073709551615")`)
	click(`#json`)
	if got := value[string](p, `current.controls[0].text(false)`); got != `{"Name":"root","Size":18446744073709551615,"Next":null,"Kids":[{"Name":"","Size":0,"Next":{"Name":"","Size":0,"Next":null,"Kids":[]},"Kids":[]}]}` {
		t.Errorf("got %s", got)
	}
	click(`#json`)
	value[string](p, `current.json.value = '[{"Nam": "root"}]'`)
	click(`#json`)
	p.has("hint", "parameter 1 has no field Nam")

	p.pick("Login") // JSON takes the secret from the form
	p.call("ann" + kb.Tab + "hunter2")
	p.done("ok")
	click(`#json`)
	if got := value[string](p, `current.json.value + document.body.textContent`); !strings.Contains(got, `"Secret": "***"`) || strings.Contains(got, "hunter2") {
		t.Errorf("got %s", got)
	}
	value[string](p, `current.json.value = '[{"User": "bob", "Secret": "***"}]'`)
	if got := value[string](p, `argumentsOf(current, false)[0]`); got != `{"User":"bob","Secret":"hunter2"}` {
		t.Errorf("got %s", got)
	}

	p.pick("Event") // with a member without fields, and one that contains the union
	p.do(chromedp.Click("#send"))
	p.done("ok")
	p.has("output", `"Idle": {}`)
	value[string](p, `(() => { const s = document.querySelector("#params select"); s.value = "All"; s.dispatchEvent(new Event("change", {bubbles: true})); return "" })()`)
	click(`//fieldset[legend="All"]/button`)
	p.do(chromedp.Click("#send"))
	p.until(`document.getElementById("output").textContent.includes('"All": [')`)

	p.pick("Maps") // begins with values that fit
	p.do(chromedp.Click("#send"))
	p.done("ok")
	p.has("output", "result 2: [")

	p.pick("Photo") // from a file
	value[string](p, `(() => {
		const files = new DataTransfer(), input = document.querySelector("#params input[type=file]");
		files.items.add(new File(["12345"], "photo"));
		input.files = files.files;
		input.dispatchEvent(new Event("change", {bubbles: true}));
		return ""
	})()`)
	p.until(`document.getElementById("command").textContent.includes("MTIzNDU=")`)
	p.do(chromedp.Click("#send"))
	p.done("ok")
	p.has("output", `"5"`)

	p.pick("Alone")
	p.has("refused", "exclusive")
	if !value[bool](p, `$("send").disabled`) {
		t.Error("an exclusive method can be called")
	}
	p.do(chromedp.Click(`//nav//button[text()="Upload"]`))
	p.until(`document.getElementById("refused").textContent.includes("reader")`)

	value[string](p, `(() => { const c = views.get(JSON.stringify(methods.get("Shapes.Photo"))).controls[0]; c.set("A".repeat(100000)); return "" })()`)
	p.pick("Photo")
	if n := value[int](p, `JSON.parse(current.controls[0].text(false)).length`); n != 100_000 {
		t.Errorf("got %d characters", n)
	}
	value[string](p, `(current.controls[0].set("MTIzNDU="), "")`)
	p.pick("Mirror")
	p.pick("Photo") // the input is still there
	if got := value[string](p, `document.querySelector("#params input").value`); got != "MTIzNDU=" {
		t.Errorf("got %q", got)
	}
}

func TestConsoleResults(t *testing.T) {
	p, _ := browseShapes(t)
	p.pick("Mirror")
	if got := value[string](p, `$("timeout").value`); got != "5s" {
		t.Errorf("got the time limit %q", got)
	}
	value[string](p, `document.querySelector("#params input").value = "a\u202eb\u0085"`)
	p.call("")
	p.done("ok")
	p.has("output", `"a\u202eb\u0085"`)
	p.has("command", "curl -sSN -H 'Content-Type: application/json' -d '[")
	p.has("command", "/Shapes.Mirror")

	p.pick("Long")
	p.call(kb.Backspace + "1000000")
	p.done("ok")
	if n := value[int](p, `$("output").textContent.length`); n < 1<<15 || n > 1<<15+100 {
		t.Errorf("got %d characters", n)
	}
	p.has("output", "more characters")
	if n := value[int](p, `new Blob(current.parts).size`); n != 1_000_003 {
		t.Errorf("got %d bytes to save", n)
	}

	p.pick("Hold") // goes on while others are called
	p.call("")
	p.until(`document.getElementById("outcome").textContent === "1 item"`)

	p.pick("Flood")
	p.call(kb.Backspace + "20000")
	p.done("ok, 20000 items")
	if n := value[int](p, `$("output").textContent.length`); n > 1<<18+2000 {
		t.Errorf("got %d characters", n)
	}

	p.pick("File")
	p.call("")
	p.done("ok, 1 item")
	p.has("output", "two\nlines\n")

	p.pick("Gone")
	p.call("")
	p.done(`unknown: gone \(shape.gone, answered\)`)

	p.pick("Hold")
	p.has("outcome", "1 item")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.done("stopped")

	// The arguments of a call in the history.
	p.do(chromedp.Click(`//ul[@id="history"]//summary[contains(., "Shapes.Long")]`), chromedp.Click(`//ul[@id="history"]//details[contains(summary, "Shapes.Long")]//button[text()="Edit"]`))
	p.until(`document.getElementById("name").textContent === "Shapes.Long" && document.querySelector("#params input").value === "1000000"`)

	value[string](p, `(history.back(), "")`)
	p.until(`document.getElementById("name").textContent === "Shapes.Hold"`)

	p.do(chromedp.KeyEvent("\t"), chromedp.Click("#filter"), chromedp.KeyEvent("flo"+kb.Enter))
	p.until(`document.getElementById("name").textContent === "Shapes.Flood"`)
}

// Metadata is sent with a call, shown in its command, and kept in the history.
func TestConsoleMetadata(t *testing.T) {
	p := browse(t, labServer(t).URL)
	p.until(`document.getElementById("notice").textContent !== ""`)
	p.do(chromedp.KeyEvent("t" + kb.Enter))
	p.until(`document.querySelectorAll("nav button").length > 5`)
	p.pick("Tenant")
	p.has("command", "bsrpc call lab.example:7341 Lab.Tenant --tls --token-file token.txt false")
	p.do(chromedp.Click("#extra-title"), chromedp.Click("#metadata"), chromedp.KeyEvent("tenant=it's, \u00fc=1"+kb.Enter+" trace=7"+kb.Enter))
	p.has("extra-title", "Metadata (2)")
	p.has("command", `--metadata 'tenant=it'\''s, `+"\u00fc"+`=1' --metadata trace=7 false`)
	p.do(chromedp.Click("#send"))
	p.done("ok")
	p.has("output", "it's, \u00fc=1")
	p.has("reply", "Metadata of the reply: seen=it's, \u00fc=1"+hostile)
	p.shot("metadata")
	p.do(chromedp.Click("#params input"), chromedp.Click("#send"))
	p.done("unknown: failed for it's")
	p.has("reply", "seen=it's")

	for text, want := range map[string]string{"tenant": "metadata is key=value", "Tenant=1": "small letters", "=1": "metadata is key=value", "a=1\na=2": "is there twice"} {
		value[string](p, `($("metadata").value = `+strconv.Quote(text)+`, command(), "")`)
		p.has("hint", want)
		if got := p.text("command"); got != "" {
			t.Errorf("%q: the command is %s", text, got)
		}
	}
	value[string](p, `($("metadata").value = "\n", command(), "")`) // as without
	p.has("command", "--token-file token.txt true")
	if got := p.text("extra-title"); got != "Metadata" {
		t.Errorf("got %q", got)
	}
	p.pick("Greet")
	p.do(chromedp.Click(`//ul[@id="history"]/li[2]//summary`), chromedp.Click(`//ul[@id="history"]/li[2]//button[text()="Edit"]`))
	p.until(`document.getElementById("name").textContent === "Lab.Tenant" && $("metadata").value.includes("trace=7")`)
	p.has("command", "--metadata trace=7")
	value[string](p, `(document.body.dataset.address = "", command(), "")`)
	p.has("command", `-H 'Bsrpc-Metadata: tenant=it'\''s%2C%20%C3%BC%3D1, trace=7' -H 'Content-Type`)
	p.has("command", "-d '[false]'")
}

// A server may describe nothing.
func TestConsoleHidden(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, HideDescription: true})
	t.Cleanup(func() { srv.Close() })
	web := httptest.NewServer(httpbsrpc.Handler(srv, &httpbsrpc.Options{Console: true}))
	t.Cleanup(web.Close)
	p := browse(t, web.URL)
	p.until(`document.getElementById("notice").textContent.startsWith("The server does not describe its methods to this page. unimplemented: ")`)
}

// The console of a server that goes away and comes back has the methods of the new one.
func TestConsoleRestart(t *testing.T) {
	p, h := browseShapes(t)
	p.pick("Mirror")
	p.do(chromedp.KeyEvent("kept"))
	var gone http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h.Store(&gone)
	p.until(`document.getElementById("health").textContent === "no answer"`)
	p.call("")
	p.done(`unavailable: the server does not answer \(outcome unknown\)`)
	srv := shapesServer(t)
	if err := srv.RegisterName("More", depot{}); err != nil {
		t.Fatal(err)
	}
	next := httpbsrpc.Handler(srv, &httpbsrpc.Options{Console: true})
	h.Store(&next)
	p.until(`document.getElementById("methods").textContent.includes("More") && document.getElementById("health").textContent === "up"`)
	if got := value[string](p, `document.querySelector("#params input").value`); got != "kept" {
		t.Errorf("got %q", got)
	}
}
