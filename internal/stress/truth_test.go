//go:build unix

package stress

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A truth is a kind of error: its text, its code, its outcomes, and what must have been done to
// the servers at the time.
type truth struct {
	text     *regexp.Regexp // of the whole text, without the name of the method
	code     bsrpc.Code
	outcomes []bsrpc.Outcome
	cause    string
	holds    func(e *evidence) bool
}

const (
	notRun   = bsrpc.OutcomeNotRun
	unknown  = bsrpc.OutcomeUnknown
	answered = bsrpc.OutcomeAnswered
)

// truths are all errors that a client may get.
var truths = []truth{
	{whole(`context canceled`), bsrpc.CodeCanceled, []bsrpc.Outcome{notRun, unknown, answered}, "its caller has canceled it", func(e *evidence) bool {
		// A handler may return the error of its callback.
		return e.canceled && (e.method == "Ask" || outcomeOf(e.err) != answered) && errors.Is(e.err, context.Canceled)
	}},
	{whole(`context deadline exceeded`), bsrpc.CodeDeadlineExceeded, []bsrpc.Outcome{notRun, unknown, answered}, "its time was over", func(e *evidence) bool {
		if outcomeOf(e.err) == answered && e.method != "Ask" { // as above
			return false
		}
		return e.expired() && (e.time < hourTime || e.busy() || e.waited() || e.some(func(p *serverProcess) bool { return p.dead(e.at) || p.stalled(e.at, time.Second) }))
	}},
	{whole(`context (?:deadline exceeded|canceled); it waited for a connection: (.*)`), 0, []bsrpc.Outcome{notRun}, "its time was over before there was a connection", func(e *evidence) bool {
		return (e.expired() || e.canceled) && e.unconnected()
	}},
	{whole(`not connected: (.*)`), bsrpc.CodeUnavailable, []bsrpc.Outcome{notRun}, "there was no server", func(e *evidence) bool {
		return !e.client.patient && e.unconnected()
	}},
	{whole(`connection lost: keepalive: the peer has been silent for .* \(the client's Limits.PingAfter, PingTimeout\)`), bsrpc.CodeUnavailable, []bsrpc.Outcome{notRun, unknown}, "its server was frozen", func(e *evidence) bool {
		return e.busy() || e.some(func(p *serverProcess) bool { return p.stalled(e.at, e.pings()) })
	}},
	{whole(`(connection lost: .*)`), bsrpc.CodeUnavailable, []bsrpc.Outcome{notRun, unknown}, "its server was killed", func(e *evidence) bool {
		return e.lost(e.at)
	}},
	{whole(`the server is shutting down`), bsrpc.CodeUnavailable, []bsrpc.Outcome{notRun}, "its server was shut down", func(e *evidence) bool {
		return e.some(func(p *serverProcess) bool { return p.drained && p.dead(e.at) })
	}},
	{whole(`the server has shut down`), bsrpc.CodeUnavailable, []bsrpc.Outcome{unknown}, "its server was shut down with calls left", func(e *evidence) bool {
		return e.some(func(p *serverProcess) bool { return p.overdue != "" && p.dead(e.at) })
	}},
	{whole(`(?s)client and server disagree on 1 of 1 methods of Hour.*Hour\.Change, parameter 2: client int\.le4, server string\.le4.*`), bsrpc.CodeFailedPrecondition, []bsrpc.Outcome{notRun}, "the method differed at all servers in reach", func(e *evidence) bool {
		var differs *bsrpc.MismatchError
		return e.method == "Change" && errors.As(e.err, &differs) && !e.neglected(func(p *serverProcess) bool { return p.version != otherVersion }) &&
			e.some(func(p *serverProcess) bool { return p.version == otherVersion && p.live(e.attempts()) })
	}},
	{whole(`parameter 2, newItem\.Note: the server does not know it`), bsrpc.CodeInvalidArgument, []bsrpc.Outcome{notRun}, "the server was old", func(e *evidence) bool {
		return e.method == "Order.Note" && e.some(func(p *serverProcess) bool { return p.version == oldVersion && p.live(e.at) })
	}},
}

// whole matches a text from beginning to end.
func whole(text string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + text + `)$`) }

// causesOfLoss are the texts within others, and their causes.
var causesOfLoss = []struct {
	text  *regexp.Regexp
	holds func(e *evidence, m []string) bool
}{
	{whole(`dial tcp (.*): connect: connection refused`), func(e *evidence, m []string) bool { return e.refused(m[1], e.attempts()) }},
	{whole(`connection lost: keepalive: the peer has been silent for .*`), func(e *evidence, _ []string) bool {
		return e.some(func(p *serverProcess) bool { return p.stalled(e.attempts(), e.pings()) })
	}},
	{whole(`connection lost: .*`), func(e *evidence, _ []string) bool { return e.lost(e.attempts()) }},
	{whole(`(?:dial tcp .*: )?the server is shutting down`), func(e *evidence, _ []string) bool {
		return e.some(func(p *serverProcess) bool { return p.drained && p.dead(e.attempts()) })
	}},
	{whole(`the server has shut down`), func(e *evidence, _ []string) bool {
		return e.some(func(p *serverProcess) bool { return p.overdue != "" && p.dead(e.attempts()) })
	}},
	{whole(`dial tcp (.*): handshake: the server closed the connection before answering INIT; .*`), func(e *evidence, m []string) bool {
		return e.some(func(p *serverProcess) bool { return p.address == m[1] && p.dead(e.attempts()) })
	}},
	{whole(`.*no answer to INIT in .* \(DialTimeout\)`), func(e *evidence, _ []string) bool {
		return e.some(func(p *serverProcess) bool { return p.stalled(e.attempts(), e.pings()/2) })
	}},
}

// An evidence is a failed call, and the history of the servers.
type evidence struct {
	hourCall
	h     *hour
	cause string // within the text
}

// slack is the time that a system and its clients may take to notice what has happened.
const slack = time.Second

// longestGap is the longest time from the end of one attempt to that of the next.
func (e *evidence) longestGap() time.Duration { return 13*time.Second + 2*e.h.pingAfter + slack }

// attempts is the time in which the newest attempt to connect has ended.
func (e *evidence) attempts() span { return span{e.at.from.Add(-e.longestGap()), e.at.to} }

// pings is the time of silence after which a server is lost, a little less.
func (e *evidence) pings() time.Duration { return 2*e.h.pingAfter - 100*time.Millisecond }

// expired reports whether the time of the call was over.
func (e *evidence) expired() bool {
	return errors.Is(e.err, context.DeadlineExceeded) && e.at.to.Sub(e.at.from) >= e.time-time.Millisecond
}

// some reports whether f holds for a server that the client knew.
func (e *evidence) some(f func(p *serverProcess) bool) bool {
	return slices.ContainsFunc(e.h.processes, func(p *serverProcess) bool {
		return (e.client.fixed == "" || e.client.fixed == p.address) && f(p)
	})
}

// waited reports whether a client that waits for a connection had no server at the beginning of the
// call, and one later: the wait has taken the time.
func (e *evidence) waited() bool {
	began := span{e.at.from, e.at.from.Add(1)}
	return e.client.patient && !e.some(func(p *serverProcess) bool { return p.live(began) }) &&
		e.some(func(p *serverProcess) bool { return p.up.After(e.at.from) && p.up.Before(e.at.to) })
}

// live reports whether the process served in a part of s.
func (p *serverProcess) live(s span) bool { return p.service().overlaps(s) }

// service is the time of the process.
func (p *serverProcess) service() span {
	if p.ended.IsZero() {
		return span{p.up, far}
	}
	return span{p.up, p.ended.Add(slack)}
}

// dead reports whether the process ended in s.
func (p *serverProcess) dead(s span) bool {
	return !p.ending.IsZero() && span{p.ending, p.service().to}.overlaps(s)
}

// stalled reports whether the process stood still for a time, in a part of s.
func (p *serverProcess) stalled(s span, least time.Duration) bool {
	return slices.ContainsFunc(p.stalls, func(stall span) bool {
		end := stall.to
		if !p.ended.IsZero() && p.ended.Before(end) {
			end = p.ended
		}
		return end.Sub(stall.from) >= least && span{stall.from, end.Add(slack)}.overlaps(s)
	})
}

// busy reports whether this process or a server has not run for a second in all, shortly before
// the error, because the machine had other work.
func (e *evidence) busy() bool {
	w := span{e.at.to.Add(-e.pings() - slack), e.at.to}
	return standstill(e.h.stalls, w) >= time.Second || e.some(func(p *serverProcess) bool { return standstill(p.stalls, w) >= time.Second })
}

// standstill returns the time within w that is in stalls.
func standstill(stalls []span, w span) (sum time.Duration) {
	for _, s := range stalls {
		if s.from.Before(w.from) {
			s.from = w.from
		}
		if s.to.After(w.to) {
			s.to = w.to
		}
		sum += max(0, s.to.Sub(s.from))
	}
	return sum
}

// lost reports whether a connection was lost in s: a server was killed, or shut down with calls left.
func (e *evidence) lost(s span) bool {
	return e.some(func(p *serverProcess) bool {
		return p.dead(s) && (!p.drained || p.overdue != "" || outcomeOf(e.err) == notRun)
	})
}

// refused reports whether nothing listened on an address in a part of s.
func (e *evidence) refused(address string, s span) bool {
	var at []span
	for _, p := range e.h.processes {
		if p.address == address {
			at = append(at, span{p.up, far})
			if !p.ending.IsZero() {
				at[len(at)-1].to = p.ending
			}
		}
	}
	slices.SortFunc(at, func(a, b span) int { return a.up(b) })
	for i, serving := range at {
		next := far
		if i+1 < len(at) {
			next = at[i+1].from
		}
		if (span{serving.to, next.Add(slack)}).overlaps(s) {
			return true
		}
	}
	return len(at) > 0 && s.from.Before(at[0].from)
}

// up orders spans by their beginning.
func (s span) up(o span) int { return s.from.Compare(o.from) }

// unconnected reports whether the client may have been without a connection, for the cause in
// the text.
func (e *evidence) unconnected() bool {
	for _, c := range causesOfLoss {
		if found := c.text.FindStringSubmatch(e.cause); found != nil {
			return c.holds(e, found) && !e.neglected(func(*serverProcess) bool { return true })
		}
	}
	return false
}

// neglected reports whether a server of a kind was there and known for so long that the client
// must have had a connection to it.
func (e *evidence) neglected(kind func(*serverProcess) bool) bool {
	long := span{e.at.from.Add(-e.longestGap() - 5*time.Second), e.at.to}
	return e.some(func(p *serverProcess) bool {
		return kind(p) && p.up.Before(long.from) && (p.ending.IsZero() || p.ending.After(long.to)) && !p.stalled(long, time.Second) && (e.client.fixed != "" || e.h.lists(p.address, long))
	})
}

// lists reports whether the resolver has had an address for so long that all clients know it.
func (h *hour) lists(address string, s span) bool {
	s.from = s.from.Add(-30 * time.Second)
	for i, l := range h.listed {
		until := far
		if i+1 < len(h.listed) {
			until = h.listed[i+1].from
		}
		if (span{l.from, until}).overlaps(s) && !slices.Contains(l.addresses, address) {
			return false
		}
	}
	return s.from.After(h.listed[0].from)
}

// method is the name at the beginning of a text.
var nameOfMethod = regexp.MustCompile(`^bsrpc: (?:Hour\.[A-Z][a-z]+(?:: |, ))?`)

// judge judges the failed calls that had ended before a time.
func (h *hour) judge(before time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.processes {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	left := h.calls[:0]
	for _, c := range h.calls {
		if c.at.to.After(before) {
			left = append(left, c)
			continue
		}
		cause, wrong := h.causeOf(c)
		if h.causes[cause]++; wrong && len(h.lies) < 20 {
			lie := fmt.Sprintf("%s: client %s, %s, canceled %t, after %v of %v: %s: %v, %v", cause, c.client.name, c.method, c.canceled, c.at.to.Sub(c.at.from), c.time, c.token, c.err, outcomeOf(c.err))
			if len(h.lies) < 5 {
				lie += h.story(c)
			}
			h.lies = append(h.lies, lie)
		}
	}
	clear(h.calls[len(left):])
	h.calls = left
	h.processes = slices.DeleteFunc(h.processes, func(p *serverProcess) bool { // nothing can be about it any more
		return !p.ended.IsZero() && time.Since(p.ended) > 3*time.Minute
	})
}

// story returns what happened to the servers about the time of a call, in times from its
// beginning.
func (h *hour) story(c hourCall) string {
	var text strings.Builder
	at := func(t time.Time) string {
		if t.IsZero() || t == far {
			return "-"
		}
		return t.Sub(c.at.from).Round(time.Millisecond).String()
	}
	for _, p := range h.processes {
		if !p.ended.IsZero() && p.ended.Before(c.at.from.Add(-40*time.Second)) {
			continue
		}
		fmt.Fprintf(&text, "\n    %s, version %d: up %s, ending %s, ended %s, drained %t %s, stalls", p.address, p.version, at(p.up), at(p.ending), at(p.ended), p.drained, p.overdue)
		for _, s := range p.stalls {
			fmt.Fprintf(&text, " %s to %s", at(s.from), at(s.to))
		}
	}
	return text.String()
}

// causeOf finds the cause of an error, and whether it is wrong.
func (h *hour) causeOf(c hourCall) (cause string, wrong bool) {
	var e *bsrpc.Error
	if !errors.As(c.err, &e) {
		return "not an *Error", true
	}
	text := nameOfMethod.ReplaceAllString(c.err.Error(), "")
	for _, tr := range truths {
		m := tr.text.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		ev := &evidence{hourCall: c, h: h, cause: strings.Join(m[1:], "")}
		switch {
		case tr.code != 0 && e.Code != tr.code, !slices.Contains(tr.outcomes, e.Outcome):
			return fmt.Sprintf("%v and %v do not fit the text", e.Code, e.Outcome), true
		case !tr.holds(ev):
			return "not true that " + tr.cause, true
		}
		return tr.cause + ", " + e.Outcome.String(), false
	}
	return "an unknown text", true
}
