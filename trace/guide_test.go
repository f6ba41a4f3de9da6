package trace_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// The example of the guide: a service, and a conversation with it.

type shop struct{}

func (shop) Hello(name string) string {
	time.Sleep(time.Millisecond)
	return "hello " + name
}

func (shop) Find(id uint16) (string, error) {
	return "", &bsrpc.Error{Code: bsrpc.CodeNotFound, Name: "NoSuchOrder", Message: "no such order"}
}

func (shop) Wait(ctx context.Context) { <-ctx.Done() }

type shopContract struct {
	Hello func(ctx context.Context, name string) (string, error)
	Find  func(ctx context.Context, id uint16) (string, error)
	Wait  func(ctx context.Context) error
}

// An addressed is a pipe with the address of the page.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7341} }

func shopTrace(t *testing.T, w io.Writer) {
	near, far := net.Pipe()
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", shop{}); err != nil {
		t.Fatal(err)
	}
	go srv.ServeConn(far)
	client, err := bsrpc.NewClient(t.Context(), bsrpc.TraceConn(addressed{near}, w), nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := bsrpc.Bind[shopContract](t.Context(), client, "Greeter")
	if err != nil {
		t.Fatal(err)
	}
	g.Hello(t.Context(), "Bob")
	g.Find(t.Context(), 7)
	go g.Wait(t.Context())
	time.Sleep(time.Second)
	client.Close()
	synctest.Wait()
}

var guideTrace = regexp.MustCompile("(?s)(<!-- trace: hello -->\n\n```text\n)(.*?)(```\n)")

// The lines in docs/guide/debugging.md are those of its example.
func TestGuideTrace(t *testing.T) {
	const name = "../docs/guide/debugging.md"
	local := time.Local
	time.Local = time.FixedZone("lab", int((9*time.Hour + 30*time.Minute).Seconds()))
	defer func() { time.Local = local }()
	var out page
	synctest.Test(t, func(t *testing.T) { shopTrace(t, &out) })
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	shown := guideTrace.FindSubmatch(text)
	switch {
	case shown == nil:
		t.Fatal("the page has no trace")
	case string(shown[2]) == out.String():
	case *update:
		text = bytes.Replace(text, shown[0], []byte(string(shown[1])+out.String()+string(shown[3])), 1)
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("have\n%s\nwant\n%s", out.String(), shown[2])
	}
}

// The recording in docs/recordings.md is the one of the tests.
func TestRecordingOfThePage(t *testing.T) {
	text, err := os.ReadFile("../docs/recordings.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```text\n")
	block, _, _ = strings.Cut(block, "```")
	if have, want := unhex(t, block), unhex(t, recorded); !bytes.Equal(have, want) {
		t.Errorf("have %x, want %x", have, want)
	}
}
