package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/stats"
)

const topHelp = `top shows what a server does: calls a second and latencies by method, who holds
exclusive groups and who waits, and the sessions. There is a view each --interval, which
replaces the one before in a terminal, and follows it elsewhere and with --json. If the
server goes, top says so, and connects again.

Rates, latencies and errors are those of the interval before. Only operators of the server
may see them: clients with its OperatorRole, the server's user over a unix socket, and without
OperatorRole and Authenticate also clients on its machine.`

// operatorContract is what top needs of introspect.Contract.
type operatorContract struct {
	Sessions func(ctx context.Context) ([]introspect.Session, error)
	Groups   func(ctx context.Context) ([]introspect.Group, error)
	Counters func(ctx context.Context) (introspect.Counters, error)
}

// A topView is one run of the command top.
type topView struct {
	*target
	interval time.Duration
	count    int // of views that remain; negative for no limit
	rows     int // of a table
	shown    bool
	view     string // the last one in a terminal
}

func newTop(t *target) *cobra.Command {
	v := &topView{target: t}
	var count int
	cmd := &cobra.Command{
		Use:               "top [ADDRESS]",
		Short:             "calls a second, latencies, sessions, and who waits, live",
		Long:              topHelp,
		ValidArgsFunction: t.complete(false, false),
		RunE: t.connected(0, 0, func(cmd *cobra.Command, s *server, _ []string) error {
			switch {
			case v.interval < time.Millisecond:
				return usage("--interval: want a time of 1ms or more, such as 2s")
			case count < 0 || count == 0 && cmd.Flags().Changed("count"):
				return usage("--count: want 1 or more")
			case v.rows < 1:
				return usage("--rows: want 1 or more")
			}
			if v.count = count; count == 0 {
				v.count = -1
			}
			return v.run(cmd, s)
		}),
	}
	cmd.Flags().DurationVar(&v.interval, "interval", 2*time.Second, "`time` between two views")
	cmd.Flags().IntVar(&count, "count", 0, "end after this `number` of views")
	cmd.Flags().IntVar(&v.rows, "rows", 20, "`lines` of each table at most")
	return cmd
}

// run shows views until the end, over any number of connections. The first one must succeed: its
// address may be misspelt. An interrupt is how it ends.
func (v *topView) run(cmd *cobra.Command, s *server) error {
	ctx, gap := cmd.Context(), firstGap
	defer func() { s.Close() }() // the last one
	for first := true; ; first = false {
		worked, err := v.views(cmd, s)
		switch {
		case ctx.Err() != nil || err == nil:
			return nil
		case first && !worked || failureOf(err).Exit != exitNetwork:
			return err
		}
		if worked {
			gap = firstGap
		}
		if err := v.lost(cmd, err); err != nil {
			return err
		}
		s.Close()
		for next := (*server)(nil); next == nil; {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(gap):
			}
			gap = min(2*gap, lastGap)
			if next, err = v.connect(ctx); err == nil {
				s = next
			} else if !mayPass(err) && ctx.Err() == nil {
				return err
			}
		}
	}
}

// lost says that the server is gone: in a terminal in place of the view, elsewhere as watch does.
func (v *topView) lost(cmd *cobra.Command, err error) error {
	text := "the server is gone: " + clean(failureOf(err).Message, maxErrorText) + "; connecting again"
	return v.tell(cmd, "lost", text, clean(v.address, maxCell)+"\n"+text+"\n")
}

// tell says what happens between two views: as view in a terminal, elsewhere as watch does.
func (v *topView) tell(cmd *cobra.Command, event, text, view string) error {
	if out := cmd.OutOrStdout(); !v.json && isTerminal(out) {
		_, err := io.WriteString(out, frame(view))
		return err
	}
	return v.say(cmd.ErrOrStderr(), event, text)
}

// views shows views over one connection. worked reports whether the server has answered.
func (v *topView) views(cmd *cobra.Command, s *server) (worked bool, err error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	limited, cancel := v.limit(ctx, false)
	about, err := bsrpc.Bind[operatorContract](limited, s.Client, introspect.Service)
	cancel()
	if err != nil {
		return false, operatorsOnly(err)
	}
	last, err := v.ask(cmd, about)
	if err != nil {
		return false, operatorsOnly(err)
	}
	for ; v.count != 0; v.count-- {
		select {
		case <-ctx.Done():
			return true, nil
		case <-time.After(v.interval):
		}
		now, err := v.ask(cmd, about)
		if err != nil {
			return true, err
		}
		switch r := now.since(last); {
		case v.json:
			err = writeJSON(out, r)
		default:
			_, err = fmt.Fprint(out, v.frame(r, out))
		}
		if err != nil {
			return true, err
		}
		last = now
	}
	return true, nil
}

// frame returns a view as it is written to out. In a terminal its tables are as long as fits; elsewhere there is
// an empty line between two views.
func (v *topView) frame(r *rates, out io.Writer) string {
	if !isTerminal(out) {
		text := r.text(v.address, v.rows)
		if v.shown {
			text = "\n" + text
		}
		v.shown = true
		return text
	}
	height := math.MaxInt
	if _, h, err := term.GetSize(int(out.(*os.File).Fd())); err == nil && h > 0 {
		height = h
	}
	v.view = r.fitting(v.address, v.rows, height)
	return frame(v.view)
}

// ask asks the server. While it does not answer, a line says so at growing intervals: in a terminal below the
// view, whose last row is empty.
func (v *topView) ask(cmd *cobra.Command, about *operatorContract) (p *sample, err error) {
	begin := time.Now()
	meanwhile(func() { p, err = v.sample(cmd.Context(), about) }, silence(0), func() time.Duration {
		waited := time.Since(begin)
		text := fmt.Sprintf("no answer for %v; the server has %v (--timeout)", waited.Round(time.Second), v.callTimeout())
		v.tell(cmd, "waiting", text, v.view+text)
		return silence(waited)
	})
	return p, err
}

// operatorsOnly returns the error of a server that does not show its figures to this client.
func operatorsOnly(err error) error {
	var mismatch *bsrpc.MismatchError
	var e *bsrpc.Error
	switch {
	case errors.As(err, &mismatch):
		return unknown("the server's figures have another form: its version of bsrpc is too old, or too new")
	case errors.As(err, &e) && e.Code == bsrpc.CodePermissionDenied:
		f := failureOf(err)
		f.Message = "the server shows its figures to operators only"
		f.Details = append(f.Details, "connect with a token or certificate that has the role of ServerOptions.OperatorRole, or over a unix socket as the server's user;",
			"a server with neither OperatorRole nor Authenticate shows them on its machine, too")
		return f
	}
	return err
}

// A sample is what the server says about itself at one moment.
type sample struct {
	at       time.Time
	counters introspect.Counters
	sessions []introspect.Session
	groups   []introspect.Group
}

// sample asks the server.
func (v *topView) sample(ctx context.Context, about *operatorContract) (p *sample, err error) {
	ctx, cancel := v.limit(ctx, false)
	defer cancel()
	p = &sample{at: time.Now()}
	if p.counters, err = about.Counters(ctx); err != nil {
		return nil, err
	}
	if p.sessions, err = about.Sessions(ctx); err != nil {
		return nil, err
	}
	p.groups, err = about.Groups(ctx)
	return p, err
}

// A rates is what happened between two samples. It is printed as JSON.
type rates struct {
	Time     time.Time     `json:"time"`
	Seconds  float64       `json:"seconds"` // between the samples
	Server   serverRates   `json:"server"`
	Methods  []methodRates `json:"methods"`  // with calls in this time, the busiest first
	Outgoing []methodRates `json:"outgoing"` // calls to clients
	Groups   []groupState  `json:"groups"`   // the exclusive groups
	Sessions []sessionRate `json:"sessions"` // admitted ones, then those that wait
}

type serverRates struct {
	Started      time.Time `json:"started"`
	Sessions     uint64    `json:"sessions"`
	Waiting      uint64    `json:"waiting"`
	Connections  uint64    `json:"connections"`
	Handlers     uint64    `json:"handlers"`
	Open         uint64    `json:"open"`
	InLine       uint64    `json:"inLine"`
	Streams      uint64    `json:"streams"`
	Unsent       uint64    `json:"unsentBytes"`
	Calls        float64   `json:"callsPerSecond"`
	Received     float64   `json:"receivedBytesPerSecond"`
	Sent         float64   `json:"sentBytesPerSecond"`
	RefusedConns uint64    `json:"refusedConnections"` // so far, as the next two
	Panics       uint64    `json:"panics"`
	OnewayErrors uint64    `json:"onewayErrors"`
}

type methodRates struct {
	Name    string            `json:"name"`
	Calls   float64           `json:"callsPerSecond"`
	Failed  map[string]uint64 `json:"failed,omitempty"`  // calls in this time, by code
	Refused map[string]uint64 `json:"refused,omitempty"` // calls that did not run
	P50     time.Duration     `json:"p50Nanoseconds"`
	P90     time.Duration     `json:"p90Nanoseconds"`
	P99     time.Duration     `json:"p99Nanoseconds"`
}

type groupState struct {
	Name     string   `json:"name"`
	Holder   uint64   `json:"holder,omitempty"` // a session
	Acquired bool     `json:"acquired"`
	Seconds  float64  `json:"seconds,omitempty"` // since it was acquired
	Waiting  []uint64 `json:"waiting,omitempty"` // sessions
}

type sessionRate struct {
	ID       uint64  `json:"id"`
	Name     string  `json:"name,omitempty"`
	Addr     string  `json:"addr"`
	Seconds  float64 `json:"seconds,omitempty"` // since its admission
	Calls    float64 `json:"callsPerSecond"`
	Position uint64  `json:"position,omitempty"` // in the line for admission
}

// since returns what has happened since an earlier sample. A server may lie: no number of it
// makes this fail.
func (p *sample) since(before *sample) *rates {
	c, old := &p.counters, &before.counters
	seconds := p.at.Sub(before.at).Seconds()
	r := &rates{Time: p.at, Seconds: seconds, Groups: []groupState{}, Sessions: []sessionRate{}, Server: serverRates{
		Started: c.Started, Sessions: c.Sessions, Waiting: c.Waiting, Connections: c.Connections, Handlers: c.Handlers, Open: c.Open,
		InLine: c.InLine, Streams: c.Streams, Unsent: c.Unsent, Received: rate(c.Received, old.Received, seconds), Sent: rate(c.Sent, old.Sent, seconds),
		RefusedConns: c.RefusedConns, Panics: c.Panics, OnewayErrors: c.OnewayErrors,
	}}
	r.Methods, r.Outgoing = methodsSince(c.Methods, old.Methods, seconds), methodsSince(c.ToClients, old.ToClients, seconds)
	for _, m := range r.Methods {
		r.Server.Calls += m.Calls
	}
	for _, g := range p.groups {
		s := groupState{Name: g.Name, Holder: g.Holder, Acquired: g.Acquired, Waiting: g.Waiting}
		if g.Acquired {
			s.Seconds = p.at.Sub(g.Since).Seconds()
		}
		r.Groups = append(r.Groups, s)
	}
	calls := make(map[uint64]uint64)
	for _, s := range before.sessions {
		calls[s.ID] = s.Calls
	}
	for _, s := range p.sessions {
		d := sessionRate{ID: s.ID, Name: s.Name, Addr: s.Addr, Calls: rate(s.Calls, calls[s.ID], seconds), Position: s.Position}
		if !s.Since.IsZero() {
			d.Seconds = p.at.Sub(s.Since).Seconds()
		}
		r.Sessions = append(r.Sessions, d)
	}
	return r
}

// rate returns how much a counter has grown in a second.
func rate(now, before uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(now-min(now, before)) / seconds
}

// methodsSince returns the methods with calls between two samples, the busiest first.
func methodsSince(now, before []stats.Method, seconds float64) []methodRates {
	list := []methodRates{} // in JSON not null
	old := make(map[string]stats.Method)
	for _, m := range before {
		old[m.Name] = m
	}
	for _, m := range now {
		was := old[m.Name]
		h := stats.Since(m.Latency, was.Latency)
		d := methodRates{Name: m.Name, Calls: rate(h.Count, 0, seconds), P50: h.P50, P90: h.P90, P99: h.P99}
		d.Failed, d.Refused = codesSince(m.Calls, was.Calls), codesSince(m.Refused, was.Refused)
		if delete(d.Failed, "ok"); h.Count > 0 || len(d.Refused) > 0 {
			list = append(list, d)
		}
	}
	sortBusiest(list)
	return list
}

// codesSince returns how often each code was counted between two samples.
func codesSince(now, before []stats.Count) map[string]uint64 {
	grown := make(map[string]uint64)
	for _, c := range now {
		grown[c.Code] = c.Calls
	}
	for _, c := range before {
		if grown[c.Code] <= c.Calls {
			delete(grown, c.Code)
		} else {
			grown[c.Code] -= c.Calls
		}
	}
	return grown
}
