//go:build bsrpc_long

package main

import (
	"slices"
	"testing"
)

func TestWaveform(t *testing.T) {
	s := Settings{Range: 10_000, Rate: 10_000, Samples: 11}
	for _, test := range []struct {
		channel, limit uint
		want           []float32
	}{
		{1, 10_000, []float32{-2, -1.618034, -0.618034, 0.618034, 1.618034, 2, 1.618034, 0.618034, -0.618034, -1.618034, -2}},
		{2, 10_000, []float32{0, -0.587785, -0.951057, -0.951057, -0.587785, 0, 0.587785, 0.951057, 0.951057, 0.587785, 0}},
		{1, 1_500, []float32{-1.5, -1.5, -0.618034, 0.618034, 1.5, 1.5, 1.5, 0.618034, -0.618034, -1.5, -1.5}},
	} {
		s.Range = test.limit
		if got := waveform(s, test.channel, 2); !slices.Equal(got, test.want) {
			t.Errorf("channel %d within %d mV:\ngot  %v\nwant %v", test.channel, test.limit, got, test.want)
		}
	}
}

func TestStatistics(t *testing.T) {
	for _, test := range []struct {
		w    []float32
		want Statistics
	}{
		{[]float32{3}, Statistics{1, 0, 3, 3, 3}},
		{[]float32{-1, 0, 1, -2, 2}, Statistics{5, 2, -2, 2, 0}},
		{[]float32{0, 1, -1, -1, 0}, Statistics{5, 1, -1, 1, -0.2}},
	} {
		if got := statistics(test.w); got != test.want {
			t.Errorf("%v: got %+v, want %+v", test.w, got, test.want)
		}
	}
}

func TestPlot(t *testing.T) {
	const want = "  | *\n  |*-**\n  |\n"
	if got := plot([]float32{0, 1, 0.2, -0.2}, 3, 1); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := plot([]float32{9, -9}, 3, 1); got != "  |*\n  |--\n  | *\n" {
		t.Errorf("out of range:\n%s", got)
	}
}
