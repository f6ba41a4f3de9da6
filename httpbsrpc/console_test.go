package httpbsrpc_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

type login struct {
	User     string
	Password string `bsrpc:"secret"`
}

// lab is the contract behind the console of the tests.
type lab struct {
	Greet   func(ctx context.Context, name string, times int32, loud bool) (string, error) `bsrpc:"names=name times loud"`
	Enter   func(ctx context.Context, l login) (login, error)                              `bsrpc:"names=login"`
	Values  func(ctx context.Context, rates []float64, limit *uint64, wait time.Duration) ([]float64, uint64, error)
	Measure func(ctx context.Context, n int) iter.Seq2[part, error] `bsrpc:"names=n"`
	Fail    func(ctx context.Context) error
	Tenant  func(ctx context.Context, fail bool) (string, error) `bsrpc:"names=fail"`
}

// hostile is a text that must stay one.
const hostile = `<img src=x onerror="document.title='owned'">`

// labServer serves a console, for callers with a token.
func labServer(t *testing.T) *httptest.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		Logger:       quiet,
		OperatorRole: "operator",
		Authenticate: func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
			if !c.HasToken("t") {
				return errors.New("wrong token")
			}
			p.Name, p.Roles = "ann", []string{"operator"}
			return nil
		},
	})
	err := bsrpc.RegisterAs[lab](srv, "Lab", &lab{
		Greet: func(_ context.Context, name string, times int32, loud bool) (string, error) {
			if loud {
				name = strings.ToUpper(name)
			}
			return strings.Repeat("hello "+name+" ", int(times)), nil
		},
		Enter: func(_ context.Context, l login) (login, error) { return l, nil },
		Values: func(_ context.Context, r []float64, n *uint64, _ time.Duration) ([]float64, uint64, error) {
			return r, *n, nil
		},
		Measure: func(ctx context.Context, n int) iter.Seq2[part, error] {
			return func(yield func(part, error) bool) {
				for i := range n {
					if !yield(part{"nut", []uint16{uint16(i)}}, nil) {
						return
					}
				}
				if n == 3 {
					<-ctx.Done()
				}
			}
		},
		Fail: func(context.Context) error { return errors.New(hostile) },
		Tenant: func(ctx context.Context, fail bool) (string, error) {
			tenant := bsrpc.MetadataFrom(ctx)["tenant"]
			bsrpc.SetReplyMetadata(ctx, "seen", tenant+hostile)
			if fail {
				return "", errors.New("failed for " + tenant)
			}
			return tenant, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(httpbsrpc.Handler(srv, &httpbsrpc.Options{Console: true, ConsoleAddress: "lab.example:7341 --tls"}))
	t.Cleanup(func() {
		srv.Close()
		web.CloseClientConnections()
		web.Close()
	})
	return web
}

// The console is a part of the handler: its checks hold for it, and it is off by default.
func TestConsoleFiles(t *testing.T) {
	web := labServer(t)
	for path, kind := range map[string]string{"/": "text/html", "/console.css": "text/css", "/console.js": "text/javascript", "/forms.js": "text/javascript"} {
		status, body, h := do(t, "GET", web.URL+path, "")
		policy := h.Get("Content-Security-Policy")
		if status != 200 || body == "" || !strings.HasPrefix(h.Get("Content-Type"), kind) || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: got %d, %v", path, status, h)
		}
		if status, _, _ := do(t, "GET", web.URL+path, "", "Host: rebound.example"); status != http.StatusMisdirectedRequest {
			t.Errorf("%s: got %d", path, status)
		}
		if status, _, _ := do(t, "GET", web.URL+path, "", "Origin: http://evil.example"); status != http.StatusForbidden {
			t.Errorf("%s: got %d", path, status)
		}
	}
	for layout, want := range map[string]int{`"Shop.Take([le1]int.le4) bool"`: 200, `"Shop"`: 400, `{`: 400} {
		if status, body, _ := asJSON(t, web.URL+"/console/layout", layout); status != want {
			t.Errorf("%s: got %d, %s", layout, status, body)
		}
	}
	_, _, plain := serve(t, nil, nil)
	for _, path := range []string{"/", "/console.js"} {
		if status, _, _ := do(t, "GET", plain.URL+path, ""); status != http.StatusMethodNotAllowed {
			t.Errorf("%s: got %d without Console", path, status)
		}
	}
	if status, _, _ := asJSON(t, plain.URL+"/console/layout", `"Shop.Take() bool"`); status != http.StatusNotImplemented {
		t.Errorf("got %d without Console", status)
	}
}

// A page is the console in Chromium.
type page struct {
	t   *testing.T
	ctx context.Context
}

// browse opens the page at a URL.
func browse(t *testing.T, url string) page {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI needs Chromium for the console: apt-get install chromium")
		}
		t.Skip("the console is tested in Chromium, which is not installed")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1200, 1000))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := page{t, ctx}
	p.do(chromedp.Navigate("about:blank"))
	err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("exception in the page: %v", e.ExceptionDetails)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(url))
	return p
}

// do runs actions.
func (p page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// value returns a value in the page.
func value[T any](p page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text returns the text of the element with an id.
func (p page) text(id string) string {
	p.t.Helper()
	return value[string](p, `document.getElementById("`+id+`").textContent`)
}

// until waits for a condition in the page.
func (p page) until(condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if value[bool](p, condition) {
			return
		}
		p.do(chromedp.Sleep(10 * time.Millisecond))
	}
	p.t.Fatalf("%s: not within its time; the outcome is %q, the notice %q", condition, p.text("outcome"), p.text("notice"))
}

// pick chooses a method, whose first input gets the focus.
func (p page) pick(name string) {
	p.t.Helper()
	p.do(chromedp.Click(`//nav//button[text()="` + name + `"]`))
	p.until(`document.getElementById("name").textContent.endsWith(".` + name + `") && document.getElementById("method").contains(document.activeElement)`)
}

// done waits for the end of a call.
func (p page) done(outcome string) {
	p.t.Helper()
	p.until("/^" + outcome + `.* \d+ ms$/.test(document.getElementById("outcome").textContent)`)
}

// has checks the text of the element with an id.
func (p page) has(id, want string) {
	p.t.Helper()
	if got := p.text(id); !strings.Contains(got, want) {
		p.t.Errorf("%s: got %q, want %q", id, got, want)
	}
}

// shot writes a screenshot to the folder in BSRPC_SHOTS.
func (p page) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("BSRPC_SHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func TestConsole(t *testing.T) {
	p := browse(t, labServer(t).URL)
	key, click := func(keys string) { t.Helper(); p.do(chromedp.KeyEvent(keys)) }, func(selector string) { t.Helper(); p.do(chromedp.Click(selector)) }

	p.until(`document.getElementById("notice").textContent !== ""`)
	p.has("notice", "wants a token")
	key("wrong" + kb.Enter)
	p.until(`document.getElementById("notice").textContent.startsWith("The server refuses this token. unauthenticated (id ")`)
	value[string](p, `document.getElementById("token").value = ""`)
	key("t" + kb.Enter)
	p.until(`document.querySelectorAll("nav button").length > 5`)

	p.pick("Greet") // by keyboard
	key("it's Ann" + kb.Tab + kb.Backspace + "2" + kb.Enter)
	p.done("ok")
	p.has("output", "hello it's Ann")
	p.has("command", `bsrpc call lab.example:7341 Lab.Greet --tls --token-file token.txt '"it'\''s Ann"' 2 false`)
	p.shot("call")

	value[string](p, `document.querySelector("#params input").value = "Ann"`)
	key("2" + kb.Backspace)
	p.has("command", `--token-file token.txt Ann 2 false`)

	p.pick("Enter") // has secrets
	key("ann" + kb.Tab + "hunter2" + kb.Enter)
	p.done("ok")
	p.has("output", `"***"`)
	p.has("command", `"User":"ann","Password":"***"`)
	if strings.Contains(value[string](p, "document.body.textContent"), "hunter2") {
		t.Error("the page shows a secret")
	}

	p.pick("Values")
	click(`//button[text()="Add"]`)
	key(kb.Backspace + "-1.5")
	click(`//label[contains(., "set")]/input`)
	click(`//label[span="value"]/input`)
	key(kb.Backspace + "18446744073709551615" + kb.Enter)
	p.done("ok")
	p.has("output", "-1.5")
	p.has("output", "18446744073709551615")
	p.shot("values")

	p.pick("Greet")
	key("x" + kb.Tab + kb.Backspace + "3000000000" + kb.Enter)
	p.done("invalid argument")
	p.has("outcome", "parameter 2")

	p.pick("Measure")
	key(kb.Backspace + "3" + kb.Enter)
	p.until(`document.getElementById("outcome").textContent === "3 items"`)
	p.shot("stream")
	click(`//button[@id="stop"]`)
	p.done("stopped")
	p.has("output", `{"Name":"nut","Sizes":[2]}`)

	p.pick("Fail")
	key(kb.Enter)
	p.done("unknown")
	p.has("outcome", hostile)
	if title := value[string](p, "document.title"); !strings.HasSuffix(title, "bsrpc console") {
		t.Errorf("got the title %q", title)
	}

	click(`//button[@id="refresh"]`)
	p.until(`document.querySelector("#counters dd") !== null`)
	p.has("counters", "Handlers")
	p.until(`document.getElementById("calls").textContent.includes("Lab.Greet")`)
	p.has("sessions", "none")
	p.has("health", "up")

	key("/")
	p.until(`document.activeElement.id === "filter"`)
	value[string](p, `document.getElementById("filter").value = ""`) // keys by DevTools arrive although the page has taken them
	key("meas")
	p.until(`document.querySelectorAll("nav button").length === 1`)
	if n := value[int](p, `document.querySelectorAll("#history > li").length`); n != 6 {
		t.Errorf("got %d calls in the history", n)
	}
	click(`//ul[@id="history"]//summary`)
	dark := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: dark}); err != nil {
		t.Fatal(err)
	}
	p.shot("dark")
	p.do(chromedp.EmulateViewport(400, 800))
	p.shot("narrow")
}
