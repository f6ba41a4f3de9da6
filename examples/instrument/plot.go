package main

import (
	"math"
	"strings"
)

// plot draws a waveform between -volts and volts, with one column per sample and an odd
// number of rows.
func plot(w []float32, rows int, volts float32) string {
	middle := rows / 2
	grid := make([][]byte, rows)
	for r := range grid {
		fill := " "
		if r == middle {
			fill = "-"
		}
		grid[r] = []byte(strings.Repeat(fill, len(w)))
	}
	for column, v := range w {
		r := middle - int(math.Round(float64(v/volts)*float64(middle)))
		grid[min(max(r, 0), rows-1)][column] = '*'
	}
	var b strings.Builder
	for _, row := range grid {
		b.WriteString("  |" + strings.TrimRight(string(row), " ") + "\n")
	}
	return b.String()
}
