// Package figures is what benchmarks say: what each run of a scenario measured,
// what all its runs say together, and whether that meets the bars set for it.
//
//	r := figures.New("hosts", w)
//	r.Measure(ctx, figures.Scenario{ID: "D1", About: "edits"}, 1000, 3, func(run *figures.Run) error {
//		run.Times("header edited", took, figures.P50(3), figures.P99(10))
//		run.Count("unexpected answers", n, figures.Max(0))
//		return wrong
//	})
//	r.Summarize()
//	r.Print(w)
//	return errors.Join(r.Err(), r.Write(file))
//
// It promises that a run which went wrong keeps no other from running and is in
// the report with its reason, and that a bar is judged over all runs: it bounds
// a median of medians, or the largest value of any run.
//
// It never measures, and never fails because of a figure: whether a missed bar
// is a defect is for people to judge.
package figures
