package server

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryAim is what the Go side of the process should keep to while its live data fit in: with SQLite's caches and
	// the program's own pages it makes about twice that resident.
	memoryAim = 56 << 20
	// collectorPercent lets a small heap grow further than by default before it is collected; memoryAim bounds what that
	// costs.
	collectorPercent = 200
	memoryEvery      = time.Second
)

// tuneMemory makes the collector work rarely while the process is small, and hard before it becomes large; when the live
// data themselves need more, the limit gives way, so that collecting never takes the processor from the work. Whoever
// sets GOGC or GOMEMLIMIT has decided otherwise.
func tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent, limit := debug.SetGCPercent(collectorPercent), debug.SetMemoryLimit(memoryAim)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		overhead := samples[1].Value.Uint64()
		for _, s := range samples[2:] {
			overhead -= min(overhead, s.Value.Uint64())
		}
		debug.SetMemoryLimit(memoryLimit(samples[0].Value.Uint64(), overhead))
	}
}

// memoryLimit leaves live data a third of their size to grow before they are collected again.
func memoryLimit(live, overhead uint64) int64 {
	return int64(min(max(memoryAim, live+live/3+overhead), math.MaxInt64))
}
