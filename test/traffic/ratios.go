package main

import (
	"fmt"

	"github.com/signetproxy/signet/test/figures"
)

// ratios compare a figure at the largest size with the smallest, and a figure
// under pressure with the same without.
func ratios(rows []figures.Summary) []figures.Summary {
	var out []figures.Summary
	for i := range rows {
		large := &rows[i]
		for j := range rows {
			small := &rows[j]
			if large.Scenario != "D1" || small.Scenario != "D1" || large.What != small.What || large.Size <= small.Size ||
				len(large.Bars) == 0 || large.Unit != figures.Millis || !isExtreme(rows, large.Size, small.Size) {
				continue
			}
			out = append(out, ratio(large, small, fmt.Sprintf("%s, by %d hosts", large.What, small.Size), figures.P50(1.3)))
		}
	}
	for i := range rows {
		for j := range rows {
			if rows[i].What == edits+withOthers && rows[j].What == edits+alone && rows[i].Size == rows[j].Size {
				out = append(out, ratio(&rows[i], &rows[j], edits+withOthers+", by alone", figures.P50(2), figures.P99(2)))
			}
		}
	}
	return out
}

func isExtreme(rows []figures.Summary, large, small int) bool {
	for i := range rows {
		if rows[i].Scenario == "D1" && (rows[i].Size > large || rows[i].Size < small) {
			return false
		}
	}
	return true
}

func ratio(a, b *figures.Summary, what string, bars ...figures.Bar) figures.Summary {
	out := figures.Summary{
		Scenario: a.Scenario, Size: a.Size, What: what, Unit: "x", Runs: a.Runs,
		N: a.N, P50: a.P50 / b.P50, P99: a.P99 / b.P99, Max: a.Max / b.Max,
		LowP50: a.LowP50 / b.HighP50, HighP50: a.HighP50 / b.LowP50,
	}
	out.Judge(bars...)
	return out
}
