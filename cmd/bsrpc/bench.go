package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
)

const benchHelp = `bench calls a method again and again, and measures.

With --rate, calls start by a schedule, whatever the answers do: an open loop. A latency
counts from the time at which the call was to start, so a server that stalls makes all
calls slower that were due meanwhile. With --rate max each of --concurrency callers makes
one call after another: a closed loop, for the highest rate.

--ramp FROM:TO:STEP makes one run for each rate. Arguments are words as for bsrpc call. With
--template each is a Go template, new for each call:

  {{.Index}}  {{.Int 1 100}}  {{.Float}}  {{.Letters 8}}  {{.Pick "a" "b"}}

With --calls FILE each line is a list of JSON with the arguments of one call. A call of a
method with a result stream ends with the stream; the same words are sent in each call.`

// Limits of what a bench may be asked for.
const (
	maxRate        = 10_000_000
	maxConcurrency = 100_000
	maxConnections = 10_000
	maxSteps       = 1_000
)

// benchFlags are the flags of bench.
type benchFlags struct {
	rate, ramp               string
	concurrency, connections int
	duration, warmUp         time.Duration
	template                 bool
	calls, plot              string
	seed                     uint64
}

func newBench(t *target) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:               "bench [ADDRESS] SERVICE.METHOD [ARGUMENT...]",
		Short:             "call a method at a rate, and measure latencies",
		Long:              benchHelp,
		ValidArgsFunction: t.complete(false, true),
		RunE: t.connected(1, -1, func(cmd *cobra.Command, s *server, args []string) error {
			rates, err := f.rates(cmd)
			if err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			m, err := s.method(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			l := &load{method: m.Name, concurrency: f.concurrency, duration: f.duration}
			if m.valuesAlone() {
				l.args, err = f.source(cmd, s, m, args[1:])
			} else {
				l.streams, err = f.streamer(cmd, s, m, args[1:])
			}
			if err != nil {
				return err
			}
			s.Close() // its place may be the only one that the server has
			for range f.connections {
				client, err := s.benchClient(cmd)
				if err != nil {
					return err
				}
				defer client.Close()
				l.clients = append(l.clients, client)
			}
			return f.run(cmd, s, l, rates)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.rate, "rate", "1000", "calls a second, such as 500 or 20k; or `max`, for as many as possible")
	flags.StringVar(&f.ramp, "ramp", "", "a run for each rate, `from:to:step`")
	flags.DurationVar(&f.duration, "duration", 10*time.Second, "of each run")
	flags.DurationVar(&f.warmUp, "warm-up", 0, "time of calls in advance that do not count, at the first rate")
	flags.IntVar(&f.concurrency, "concurrency", 128, "`callers`: the most calls open at a time")
	flags.IntVar(&f.connections, "connections", 1, "`number` of connections, which the callers share")
	flags.BoolVar(&f.template, "template", false, "arguments are templates, executed for each call")
	flags.StringVar(&f.calls, "calls", "", "`file` with the arguments of a call in each line, as a list of JSON")
	flags.Uint64Var(&f.seed, "seed", 1, "of random values in templates")
	flags.StringVar(&f.plot, "plot", "", "write a plot to a `file`, out.svg or out.png")
	return cmd
}

// benchClient returns a client whose calls are limited by --timeout.
func (s *server) benchClient(cmd *cobra.Command) (*bsrpc.Client, error) {
	opts, err := s.options()
	if err != nil {
		return nil, err
	}
	opts.DefaultCallTimeout = s.callTimeout()
	return s.dialWith(cmd.Context(), opts)
}

// check returns an error for flags out of range.
func (f *benchFlags) check() error {
	switch {
	case f.duration < time.Millisecond || f.duration > 24*time.Hour:
		return usage("--duration %v: want 1ms to 24h", f.duration)
	case f.warmUp < 0 || f.warmUp > 24*time.Hour:
		return usage("--warm-up %v: want 0 to 24h", f.warmUp)
	case f.concurrency < 1 || f.concurrency > maxConcurrency:
		return usage("--concurrency %d: want 1 to %d", f.concurrency, maxConcurrency)
	case f.connections < 1 || f.connections > min(f.concurrency, maxConnections):
		return usage("--connections %d: want 1 to %d, and at most --concurrency", f.connections, maxConnections)
	case f.template && f.calls != "":
		return usage("--template and --calls exclude each other")
	}
	if ext := filepath.Ext(f.plot); f.plot != "" && ext != ".svg" && ext != ".png" {
		return usage("--plot %s: want a name that ends in .svg or .png", clean(f.plot, maxWord))
	}
	if f.plot != "" {
		return checkPlot(f.plot)
	}
	return nil
}

// rates returns the rates of the runs, 0 for as many calls as possible.
func (f *benchFlags) rates(cmd *cobra.Command) (list []float64, err error) {
	if f.ramp == "" {
		if f.rate == "max" {
			return []float64{0}, nil
		}
		rate, err := parseRate(f.rate)
		if err != nil {
			return nil, usage("--rate %s: %v, or max", clean(f.rate, maxWord), err)
		}
		return []float64{rate}, nil
	}
	if cmd.Flags().Changed("rate") {
		return nil, usage("--rate and --ramp exclude each other")
	}
	parts := strings.Split(f.ramp, ":")
	var numbers [3]float64
	for i := range min(len(parts), 3) {
		if numbers[i], err = parseRate(parts[i]); err != nil {
			return nil, usage("--ramp %s: %v, as in 1000:10000:1000", clean(f.ramp, maxWord), err)
		}
	}
	from, to, step := numbers[0], numbers[1], numbers[2]
	if len(parts) != 3 || to < from || (to-from)/step > maxSteps {
		return nil, usage("--ramp %s: want from:to:step with at most %d steps, as in 1000:10000:1000", clean(f.ramp, maxWord), maxSteps)
	}
	for rate := from; rate <= to*(1+1e-9); rate += step {
		list = append(list, rate)
	}
	return list, nil
}

// parseRate parses calls a second, with k for a thousand.
func parseRate(text string) (float64, error) {
	digits, thousands := strings.CutSuffix(text, "k")
	rate, err := strconv.ParseFloat(digits, 64)
	if thousands {
		rate *= 1000
	}
	if err != nil || !(rate >= 0.01 && rate <= maxRate) {
		return 0, fmt.Errorf("want a number of calls a second, 0.01 to %d", maxRate)
	}
	return rate, nil
}

// streamer returns the caller of a method with streams.
func (f *benchFlags) streamer(cmd *cobra.Command, s *server, m *method, words []string) (*streamer, error) {
	if f.template || f.calls != "" {
		return nil, usage("--template and --calls are for methods with values alone, and %s has more: %s", m.Name, clean(m.signature(false), maxLine))
	}
	return newStreamer(&call{server: s, method: m, in: cmd.InOrStdin()}, words, s.callTimeout())
}

// callTimeout returns the limit of each call.
func (t *target) callTimeout() time.Duration {
	if t.timeout > 0 {
		return t.timeout
	}
	return defaultTimeout
}

// source returns the source of arguments.
func (f *benchFlags) source(cmd *cobra.Command, s *server, m *method, words []string) (argSource, error) {
	if f.calls != "" {
		if len(words) > 0 {
			return nil, usage("the arguments are in %s; give none, or no --calls", clean(f.calls, maxWord))
		}
		return linesOf(m, f.calls)
	}
	if f.template && len(words) == len(m.layout.Params) {
		return newTemplates(m.layout.Params, words, f.seed)
	}
	c := &call{server: s, method: m, in: cmd.InOrStdin(), out: cmd.OutOrStdout()}
	values, err := c.args(words)
	if err != nil {
		return nil, err
	}
	var args []byte
	for i, l := range m.layout.Params {
		if args, err = appendValue(args, l, values[i]); err != nil {
			advice := ""
			if i < len(words) && strings.Contains(words[i], "{{") {
				advice = "; a template needs --template"
			}
			return nil, usage("parameter %d of %s: %v%s", i+1, m.Name, err, advice)
		}
	}
	return fixedArgs{args}, nil
}

// run makes the runs and prints each, writes the plot, and returns the error of failed calls.
func (f *benchFlags) run(cmd *cobra.Command, s *server, l *load, rates []float64) error {
	out, terminal := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if !isTerminal(terminal) {
		terminal = nil
	}
	if !s.json {
		if err := f.printHead(out, l, rates[0]); err != nil {
			return err
		}
	}
	measure := func(l *load, what string, rate float64) (t *tally) {
		l.shown(terminal, what, l.duration, func() { t = l.run(cmd.Context(), rate) })
		return t
	}
	if f.warmUp > 0 {
		warm := *l
		warm.duration = f.warmUp
		if t := measure(&warm, "warm-up, ", rates[0]); t.Lost != nil || cmd.Context().Err() != nil {
			return failedCalls([]*tally{t})
		}
	}
	var runs []*tally
	for i, rate := range rates {
		what := ""
		if f.ramp != "" {
			what = fmt.Sprintf("run %d of %d at %s calls/s, ", i+1, len(rates), rateText(rate))
		}
		t := measure(l, what, rate)
		runs = append(runs, t)
		var err error
		switch {
		case s.json:
			err = writeJSON(out, l.asJSON(t))
		case f.ramp != "":
			err = l.printStep(out, t)
		default:
			err = l.print(out, t)
		}
		if err != nil {
			return err
		}
		if t.Lost != nil || cmd.Context().Err() != nil {
			break
		}
	}
	err := failedCalls(runs)
	if f.plot == "" {
		return err
	}
	if plotted := l.plot(f.plot, runs); plotted != nil && err == nil {
		return usage("--plot: %v", plotted)
	} else if plotted != nil { // why calls have failed comes first
		all := failureOf(err)
		all.Details = append(all.Details, "--plot: "+plotted.Error())
		return all
	}
	return err
}
