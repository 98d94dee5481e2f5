package engine

import (
	"context"
	"time"
)

const (
	// namesSweeps is how many sweeps pass between two looks for names that are not in the search yet.
	namesSweeps = 10
	// namesTogether is how many are taken into it at once: some ten milliseconds of a writer's time.
	namesTogether = 400
	// While drains are at work, and namesQuiet longer, they are left alone for namesRest times as long as that took; else for
	// as long.
	namesRest  = 9
	namesQuiet = 3 * time.Second
)

// indexNames keeps the search for names up to date, behind everything else.
func (e *Engine) indexNames(ctx context.Context) {
	trouble := trouble{
		log: e.log, begins: "names could not be taken into the search; it is tried again until they can", ends: "names are taken into the search again",
	}
	for {
		began := time.Now()
		n, err := e.store.IndexNames(ctx, namesTogether)
		trouble.note(ctx, err)
		wait := namesSweeps * e.set.Sweep
		if err == nil && n > 0 {
			wait = time.Since(began)
			if !e.schedule.quiet(namesQuiet) {
				wait *= namesRest
			}
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}
