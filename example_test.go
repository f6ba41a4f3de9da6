package bsrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/bsrpc/bsrpc"
)

// Greeter is a contract, shared by a client and a server.
type Greeter struct {
	Hello     func(ctx context.Context, name string) (string, error)
	Add2Words func(ctx context.Context, a, b uint32) (uint32, error)
}

// greeter implements the methods.
type greeter struct{}

func (greeter) Hello(name string) string     { return "hello " + name }
func (greeter) Add2Words(a, b uint32) uint32 { return a + b }

// connect returns a client of srv, connected in memory.
func connect(srv *bsrpc.Server) *bsrpc.Client {
	near, far := net.Pipe()
	go srv.ServeConn(far)
	client, err := bsrpc.NewClient(context.Background(), near, nil)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// Register methods, serve them, bind a contract, and call a method.
func Example() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()

	ctx := context.Background()
	client, err := bsrpc.Dial(ctx, "tcp", l.Addr().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	greeter, err := bsrpc.Bind[Greeter](ctx, client, "Greeter")
	if err != nil {
		log.Fatal(err)
	}
	sum, err := greeter.Add2Words(ctx, 1000, 2050)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("1000 + 2050 =", sum)
	// Output: 1000 + 2050 = 3050
}

// The server has changed, and this client has not. Bind compares both before the first
// call and lists the differences. Methods without one can still be called.
func Example_mismatch() {
	type ServerOrder struct {
		Price uint64
		ID    uint64
		Note  string
	}
	srv := bsrpc.NewServer(nil)
	placed := func(o ServerOrder) error { return nil }
	count := func() int { return 0 }
	if err := errors.Join(srv.RegisterFunc("Shop.PlaceOrder", placed), srv.RegisterFunc("Shop.Count", count)); err != nil {
		log.Fatal(err)
	}

	type Order struct {
		ID    uint64
		Price int32
	}
	type Shop struct {
		PlaceOrder func(ctx context.Context, o Order) error
		Count      func(ctx context.Context) (int, error)
	}
	client := connect(srv)
	defer client.Close()
	shop, err := bsrpc.Bind[Shop](context.Background(), client, "Shop")
	fmt.Println(err)

	_, err = shop.Count(context.Background())
	fmt.Println("Count:", err)
	// Output:
	// bsrpc: client and server disagree on 1 of 2 methods of Shop
	//     Shop.PlaceOrder, parameter 1, Order.Price: client int.le4, server uint.le8
	//     Shop.PlaceOrder, parameter 1, Order.Note: only on the server; tag it optional at the server
	// Count: <nil>
}

// Clock is a service whose type has an exported name.
type Clock struct{}

// Zone returns the name of the time zone of the clock.
func (Clock) Zone() string { return "UTC" }

// Register names the service after the type.
func ExampleServer_Register() {
	srv := bsrpc.NewServer(nil)
	if err := srv.Register(Clock{}); err != nil {
		log.Fatal(err)
	}
	for _, m := range srv.Methods() {
		fmt.Println(m.Layout)
	}
	// Output: Clock.Zone() string.le4
}

// shop has methods that cannot be registered.
type shop struct{}

func (shop) Watch(events chan string) {}
func (shop) Find(filter any) []string { return nil }
func (shop) Sizes() []struct{}        { return nil }

// One error lists all problems of a service.
func ExampleServer_RegisterName() {
	srv := bsrpc.NewServer(nil)
	fmt.Println(srv.RegisterName("lab.v1.Greeter", greeter{}))
	fmt.Println(srv.RegisterName("Shop", shop{}))
	// Output:
	// <nil>
	// bsrpc: register Shop: 3 problems
	//     Shop.Find, parameter 1: interface {} has no wire form; use a concrete type
	//     Shop.Sizes, result 1, []: elements take no bytes on the wire
	//     Shop.Watch, parameter 1: chan string has no wire form; declare it as iter.Seq2[string, error]
}

// A func needs no receiver.
func ExampleServer_RegisterFunc() {
	srv := bsrpc.NewServer(nil)
	double := func(ctx context.Context, n int64) (int64, error) { return 2 * n, nil }
	if err := srv.RegisterFunc("Math.Double", double); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()
	var n int64
	err := client.Call(context.Background(), "Math.Double", []any{21}, &n)
	fmt.Println(n, err)
	// Output: 42 <nil>
}

// A contract selects the methods to register and the formats of their values.
func ExampleRegisterAs() {
	type Adder struct {
		Add2Words func(ctx context.Context, a, b uint32) (uint32, error) `bsrpc:"(be4,be4) be4"`
	}
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Adder](srv, "Adder", greeter{}); err != nil {
		log.Fatal(err)
	}
	for _, m := range srv.Methods() {
		fmt.Println(m.Layout)
	}
	// Output: Adder.Add2Words(uint.be4, uint.be4) uint.be4
}

// Methods lists the methods of a server, with the hashes compared by clients.
func ExampleServer_Methods() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	for _, m := range srv.Methods() {
		fmt.Printf("%x  %s\n", m.Hash[:4], m.Layout)
	}
	// Output:
	// 3e4fdf57  Greeter.Add2Words(uint.le4, uint.le4) uint.le4
	// deebf6d4  Greeter.Hello(string.le4) string.le4
}

// Serve returns after the server has been closed.
func ExampleServer_Serve() {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{MaxInflight: 100})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()
	srv.Close()
	fmt.Println(<-served == bsrpc.ErrServerClosed)
	// Output: true
}

// ServeConn serves any net.Conn, such as a pipe, a TLS connection or a tunnel.
func ExampleServer_ServeConn() {
	srv := bsrpc.NewServer(nil)
	near, far := net.Pipe()
	served := make(chan error)
	go func() { served <- srv.ServeConn(far) }()

	client, err := bsrpc.NewClient(context.Background(), near, nil)
	if err != nil {
		log.Fatal(err)
	}
	client.Close()
	fmt.Println("the client has left:", <-served)
	// Output: the client has left: <nil>
}

// A server runs until it is interrupted, and then lets running calls finish.
func ExampleServer_ListenAndServe() {
	srv := bsrpc.NewServer(nil)
	ctx, interrupt := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, func() { srv.Shutdown(context.Background()) })
	interrupt() // in a program, the signal does this

	err := srv.ListenAndServe("tcp", "127.0.0.1:0")
	fmt.Println(err)
	// Output: bsrpc: server closed
}

// Shutdown waits for running calls, until its context ends.
func ExampleServer_Shutdown() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()
	if _, err := bsrpc.Bind[Greeter](context.Background(), client, "Greeter"); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("shutdown:", srv.Shutdown(ctx))

	<-client.Done()
	fmt.Println(client.Err())
	// Output:
	// shutdown: <nil>
	// bsrpc: the server is shutting down
}

// The context of Dial limits only the dialling. The client works until Close.
func ExampleDial() {
	srv := bsrpc.NewServer(nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client, err := bsrpc.Dial(ctx, "tcp", l.Addr().String(), &bsrpc.ClientOptions{
		DefaultCallTimeout: time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println("connected")
	// Output: connected
}

// NewClient uses any net.Conn. The client owns the connection and closes it.
func ExampleNewClient() {
	srv := bsrpc.NewServer(nil)
	near, far := net.Pipe()
	go srv.ServeConn(far)
	client, err := bsrpc.NewClient(context.Background(), near, nil)
	if err != nil {
		log.Fatal(err)
	}
	client.Close()

	err = client.Call(context.Background(), "Greeter.Hello", nil)
	fmt.Println(errors.Is(err, bsrpc.ErrClosed))
	// Output: true
}

// A contract may describe a part of a service. The funcs of the proxy are safe for
// concurrent use.
func ExampleBind() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()

	type Adder struct {
		Add2Words func(ctx context.Context, a, b uint32) (uint32, error) `bsrpc:"timeout=2s"`
	}
	adder, err := bsrpc.Bind[Adder](context.Background(), client, "Greeter")
	if err != nil {
		log.Fatal(err)
	}
	sum, err := adder.Add2Words(context.Background(), 1000, 2050)
	fmt.Println(sum, err)
	// Output: 3050 <nil>
}

// Call needs no contract: the server's layout determines the encoding. Unsuitable
// arguments are not sent.
func ExampleClient_Call() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()

	ctx := context.Background()
	var sum uint64
	err := client.Call(ctx, "Greeter.Add2Words", []any{1000, int64(2050)}, &sum)
	fmt.Println(sum, err)
	fmt.Println(client.Call(ctx, "Greeter.Add2Words", []any{1000, -1}, &sum))
	fmt.Println(client.Call(ctx, "Greeter.Add2Words", []any{1000, true}, &sum))
	fmt.Println(client.Call(ctx, "Greeter.Add3Words", []any{1, 2, 3}, &sum))
	// Output:
	// 3050 <nil>
	// bsrpc: Greeter.Add2Words, parameter 2: negative, but the wire format is unsigned
	// bsrpc: Greeter.Add2Words, parameter 2: bool does not fit uint.le4
	// bsrpc: the server has no method Greeter.Add3Words; it has Greeter.Add2Words
}

// A program without the types takes arguments from JSON, and prints results as JSON.
func ExampleClient_Call_json() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()

	var args []any
	if err := json.Unmarshal([]byte(`[1000, "2050"]`), &args); err != nil {
		log.Fatal(err)
	}
	var sum any
	if err := client.Call(context.Background(), "Greeter.Add2Words", args, &sum); err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(sum)
	fmt.Println(string(text), err)
	fmt.Println(client.Call(context.Background(), "Greeter.Add2Words", []any{1000.0, 20.5}, &sum))
	// Output:
	// 3050 <nil>
	// bsrpc: Greeter.Add2Words, parameter 2: a number with a fraction, or out of range; the layout has an unsigned 32-bit integer
}

// A gateway passes bytes on: arguments and results stay encoded.
func ExampleClient_CallEncoded() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()

	args := []byte{1, 0, 0, 0, 2, 0, 0, 0} // two words
	results, err := client.CallEncoded(context.Background(), "Greeter.Add2Words", args, nil)
	fmt.Println(results, err)
	// Output:
	// [3 0 0 0] <nil>
}

// A Reading has the format of a device.
type Reading struct {
	Sensor  uint16    `bsrpc:"be2"`
	Unit    string    `bsrpc:"fixed=4"`
	Samples []float32 `bsrpc:"list,len=le1"`
	Local   bool      `bsrpc:"-"`
}

// Marshal uses the codec without a connection, for files and devices.
func ExampleMarshal() {
	data, err := bsrpc.Marshal(Reading{Sensor: 0x1234, Unit: "mV", Samples: []float32{1, 2}})
	fmt.Printf("% x %v\n", data, err)
	// Output: 12 34 6d 56 00 00 02 00 00 80 3f 00 00 00 40 <nil>
}

// An Event is a union: exactly one of its members is set.
type Event struct {
	_       struct{} `bsrpc:"union"`
	Alarm   *string
	Reading *Reading
}

// A union is the number of the member that is set, and its value.
func ExampleMarshal_union() {
	text := "hot"
	data, err := bsrpc.Marshal(Event{Alarm: &text})
	fmt.Printf("% x %v\n", data, err)

	var event Event
	err = bsrpc.Unmarshal(data, &event)
	fmt.Println(*event.Alarm, event.Reading, err)

	_, err = bsrpc.Marshal([]Event{{Alarm: &text}, {}})
	fmt.Println(err)
	// Output:
	// 01 03 00 00 00 68 6f 74 <nil>
	// hot <nil> <nil>
	// bsrpc: []Event: no member of the union is set; set one
}

// Append returns the buffer unchanged if a value does not fit its format.
func ExampleAppend() {
	buf := []byte{0xff}
	buf, err := bsrpc.Append(buf, Reading{Unit: "mV"})
	fmt.Printf("% x %v\n", buf, err)
	buf, err = bsrpc.Append(buf[:1], Reading{Unit: "percent"})
	fmt.Printf("% x %v\n", buf, err)
	// Output:
	// ff 00 00 6d 56 00 00 00 <nil>
	// ff bsrpc: Reading.Unit: 7 bytes exceed fixed=4
}

// Unmarshal decodes all of the data, or returns an error with the place of the problem.
func ExampleUnmarshal() {
	data := []byte{0x12, 0x34, 'm', 'V', 0, 0, 1, 0, 0, 0x80, 0x3f}
	var r Reading
	err := bsrpc.Unmarshal(data, &r)
	fmt.Printf("%+v %v\n", r, err)
	fmt.Println(bsrpc.Unmarshal(data[:9], &r))
	fmt.Println(bsrpc.Unmarshal(append(data, 0), &r))
	// Output:
	// {Sensor:4660 Unit:mV Samples:[1] Local:false} <nil>
	// bsrpc: Reading.Samples: want 1 element of at least 4 bytes, have 2 bytes, offset 6
	// bsrpc: Reading: 1 trailing byte, offset 11
}

// An Ack is a frame of a satellite receiver: constants, and two bytes of payload.
type Ack struct {
	_          uint16 `bsrpc:"be2,const=0xB562"`
	_          uint16 `bsrpc:"be2,const=0x0501"`
	_          uint16 `bsrpc:"const=2"` // the size of the payload
	Class, ID  uint8
	SumA, SumB uint8
}

// Blank fields hold constants of a protocol. Unmarshal checks them.
func ExampleUnmarshal_constants() {
	var a Ack
	fmt.Println(bsrpc.Unmarshal([]byte{0xb5, 0x62, 5, 1, 2, 0, 6, 1, 0x0f, 0x38}, &a))
	fmt.Println(a.Class, a.ID)
	fmt.Println(bsrpc.Unmarshal([]byte{0xb5, 0x62, 5, 0, 2, 0, 6, 1, 0x0e, 0x33}, &a))
	// Output:
	// <nil>
	// 6 1
	// bsrpc: Ack._: want the constant 1281, which is 05 01, offset 2
}

// A Track has values without counts: text up to a zero byte, a size in bytes, and what is
// left.
type Track struct {
	Title string   `bsrpc:"until=0"`
	Marks []uint16 `bsrpc:"bytes=le1,be2"`
	Data  []byte   `bsrpc:"rest"`
}

// Tags describe formats of other programs, too.
func ExampleMarshal_ends() {
	data, err := bsrpc.Marshal(Track{"A", []uint16{300, 301}, []byte("xyz")})
	fmt.Printf("% x %v\n", data, err)
	var t Track
	fmt.Println(bsrpc.Unmarshal(data, &t), t)
	_, err = bsrpc.Marshal(Track{Title: "A\x00B"})
	fmt.Println(err)
	// Output:
	// 41 00 04 01 2c 01 2d 78 79 7a <nil>
	// <nil> {A [300 301] [120 121 122]}
	// bsrpc: Track.Title: contains the byte 0x00, which ends it (until=0)
}

// Mistakes in the options of a configuration file are errors, with a suggestion.
func ExampleDecodeServerOptions() {
	o, err := bsrpc.DecodeServerOptions(map[string]any{
		"max-message":       "64MiB",
		"handshake_timeout": "5s",
		"limits":            map[string]any{"MaxConns": 100},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(o.MaxMessage, o.HandshakeTimeout, o.Limits.MaxConns)

	_, err = bsrpc.DecodeServerOptions(map[string]any{"max-mesage": 1, "handshake_timeout": 5})
	fmt.Println(err)
	// Output:
	// 67108864 5s 100
	// bsrpc: ServerOptions: 2 problems
	//     unknown key "max-mesage"; did you mean MaxMessage?
	//     handshake_timeout: want a duration as text with its unit, such as "1m30s" or "250ms", have a number without a unit
}

// DecodeClientOptions does the same for clients.
func ExampleDecodeClientOptions() {
	o, err := bsrpc.DecodeClientOptions(map[string]any{"DefaultCallTimeout": "1m30s"})
	fmt.Println(o.DefaultCallTimeout, err)
	// Output: 1m30s <nil>
}

// Invalid options are reported when they are used, in one error.
func ExampleServerOptions() {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		MaxMessage:       1<<30 + 1,
		HandshakeTimeout: bsrpc.NoLimit,
		Limits:           bsrpc.Limits{FrameTimeout: 30}, // thirty nanoseconds
	})
	fmt.Println(srv.ListenAndServe("tcp", "127.0.0.1:0"))
	// Output:
	// bsrpc: ServerOptions: 2 problems
	//     MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB
	//     Limits.FrameTimeout: want 10ms or more, NoLimit (-1), or 0 for 1m0s
}

// A handler chooses the code, name and text of an error. The library sets the outcome.
func ExampleError() {
	srv := bsrpc.NewServer(nil)
	find := func(id int) (string, error) {
		return "", &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no such order"}
	}
	slow := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := errors.Join(srv.RegisterFunc("Shop.Find", find), srv.RegisterFunc("Shop.Slow", slow)); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()

	err := client.Call(context.Background(), "Shop.Find", []any{7}, new(string))
	var e *bsrpc.Error
	if errors.As(err, &e) {
		fmt.Printf("%v; %v, %v, remote %v\n", e, e.Code, e.Outcome, e.Remote)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = client.Call(ctx, "Shop.Slow", nil)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// no such order; not found, answered, remote true
	// true
}

// A shop has an error without fields, and one with fields.
var errNoItem = errors.New("no such item")

type shortage struct{ Left int }

func (s *shortage) Error() string { return fmt.Sprintf("only %d left", s.Left) }

// shopErrors lists them for both ends.
var shopErrors = map[string]error{
	"shop.no_item":  errNoItem,
	"shop.shortage": (*shortage)(nil),
}

// take is a method of the shop.
func take(item string, n int) error {
	if item != "bolt" {
		return fmt.Errorf("take %s: %w", item, errNoItem)
	}
	return fmt.Errorf("take %s: %w", item, &shortage{Left: 8})
}

// Errors of a handler, found at the caller.
func ExampleServerOptions_errors() {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Errors: shopErrors})
	if err := srv.RegisterFunc("Shop.Take", take); err != nil {
		log.Fatal(err)
	}
	near, far := net.Pipe()
	go srv.ServeConn(far)
	ctx := context.Background()
	client, err := bsrpc.NewClient(ctx, near, &bsrpc.ClientOptions{Errors: shopErrors})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	err = client.Call(ctx, "Shop.Take", []any{"nut", 1})
	fmt.Println(err, errors.Is(err, errNoItem))
	err = client.Call(ctx, "Shop.Take", []any{"bolt", 100})
	var short *shortage
	if errors.As(err, &short) {
		fmt.Println(err, short.Left)
	}
	// Output:
	// take nut: no such item true
	// take bolt: only 8 left 8
}

// A panic fails one call. The server logs its stack with an id, also in the error of
// the caller.
func ExampleServerOptions_logger() {
	var lines bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case "level", "msg", "method", "panic":
				return a
			}
			return slog.Attr{} // time, id and stack differ each time
		},
	}))
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: logger})
	if err := srv.RegisterFunc("Shop.Crash", func() { panic("out of stock") }); err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	err := client.Call(context.Background(), "Shop.Crash", nil)
	var e *bsrpc.Error
	fmt.Println(errors.As(err, &e), e.Code, e.Message, e.ID != "")
	client.Close()
	srv.Close()
	fmt.Print(lines.String())
	// Output:
	// true internal bsrpc: Shop.Crash: panic in the handler true
	// level=ERROR msg="bsrpc: handler panicked" method=Shop.Crash panic="out of stock"
}

// ticket is a receiver with a value for each session.
type ticket struct{ n int }

func (t *ticket) Next() int { t.n++; return t.n }

// Two clients have separate counters.
func ExamplePerSession() {
	srv := bsrpc.NewServer(nil)
	err := srv.RegisterName("Counter", bsrpc.PerSession(func(ctx context.Context, s *bsrpc.Session) (*ticket, error) {
		return new(ticket), nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	a, b := connect(srv), connect(srv)
	for _, client := range []*bsrpc.Client{a, a, b} {
		var n int
		if err := client.Call(context.Background(), "Counter.Next", nil, &n); err != nil {
			log.Fatal(err)
		}
		fmt.Println(n)
	}
	// Output:
	// 1
	// 2
	// 1
}

// A handler gets its session, and a value stored in it by a hook.
func ExampleSessionFrom() {
	type userKey struct{}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
			s.Set(userKey{}, "Ann")
			return nil
		},
	})
	err := srv.RegisterFunc("Users.Me", func(ctx context.Context) string {
		s := bsrpc.SessionFrom(ctx)
		return fmt.Sprint(s.Value(userKey{}), ", session ", s.ID())
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	var me string
	fmt.Println(connect(srv).Call(context.Background(), "Users.Me", nil, &me), me)
	// Output: <nil> Ann, session 1
}

// Values travel beside the arguments, and come back beside the results.
func ExampleWithMetadata() {
	srv := bsrpc.NewServer(nil)
	err := srv.RegisterFunc("Stock.Count", func(ctx context.Context) (int, error) {
		if bsrpc.MetadataFrom(ctx)["tenant"] != "acme" {
			return 0, errors.New("unknown tenant")
		}
		return 10, bsrpc.SetReplyMetadata(ctx, "node", "7")
	})
	if err != nil {
		log.Fatal(err)
	}
	client := connect(srv)
	defer client.Close()
	stock, err := bsrpc.Bind[struct {
		Count func(ctx context.Context) (int, error)
	}](context.Background(), client, "Stock")
	if err != nil {
		log.Fatal(err)
	}
	ctx := bsrpc.WithMetadata(context.Background(), bsrpc.Metadata{"tenant": "acme"})
	ctx, reply := bsrpc.WithReplyMetadata(ctx)
	fmt.Println(stock.Count(ctx))
	fmt.Println(reply, reply.Get()["node"])
	// Output:
	// 10 <nil>
	// metadata[node] 7
}

// A program shows what its server does, in /debug/vars and here.
func ExampleServer_Stats() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		log.Fatal(err)
	}
	expvar.Publish("bsrpc", expvar.Func(func() any { return srv.Stats() }))

	near, far := net.Pipe()
	go srv.ServeConn(far)
	ctx := context.Background()
	client, err := bsrpc.NewClient(ctx, near, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.Call(ctx, "Greeter.Add2Words", []any{1000, 2050}, new(int)); err != nil {
		log.Fatal(err)
	}
	for _, m := range client.Stats().Methods {
		fmt.Println(m.Name, m.Calls, m.Latency.Count, m.Latency.P99 > 0)
	}
	// Output: Greeter.Add2Words [{ok 1}] 1 true
}
