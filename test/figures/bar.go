package figures

// Bar is the most that a value of a figure should be, in the figure's unit.
type Bar struct {
	of   string
	most float64
	pick func(Values) float64
}

// P50 bounds the median of the runs' medians.
func P50(most float64) Bar { return Bar{"p50", most, func(v Values) float64 { return v.P50 }} }

// P99 bounds the median of the runs' 99th percentiles.
func P99(most float64) Bar { return Bar{"p99", most, func(v Values) float64 { return v.P99 }} }

// Max bounds the largest value of any run.
func Max(most float64) Bar { return Bar{"max", most, func(v Values) float64 { return v.Max }} }

// Verdict says whether a value is at most what its bar says.
type Verdict struct {
	// Of is p50, p99 or max.
	Of   string  `json:"of"`
	Most float64 `json:"most"`
	Met  bool    `json:"met"`
}

func (b Bar) judge(v Values) Verdict {
	return Verdict{Of: b.of, Most: b.most, Met: b.pick(v) <= b.most}
}
