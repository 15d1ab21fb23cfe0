// How fast Tessera's POSIX storage takes entries in this process: the load of crates/log/examples/append.rs on another
// log, for `cargo xtask bench log`.
//
// Writers offer entries and wait for their indices before they offer the next; with -rate they offer so many a second
// together, and the wait counts from when an entry was due. Tessera tells an index when the entry is in the tree, which is
// asked for at the end all the same. The first line is entries a second, and the median and 99th percentile of the wait
// in milliseconds; further lines say what it cost.
//
//	tessera-append [flags] FOLDER
//	tessera-append key ORIGIN FILE     writes a signing key to FILE, prints its verifier key
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

var (
	writers    = flag.Uint64("writers", 256, "how many offer entries")
	atOnce     = flag.Uint64("at-once", 16, "entries that a writer offers at once; it waits for the indices of all of them")
	seconds    = flag.Float64("seconds", 3, "how long")
	entries    = flag.Uint64("entries", 0, "ends after so many entries, if that is sooner")
	size       = flag.Int("bytes", 1024, "bytes of an entry")
	rate       = flag.Float64("rate", 0, "entries a second of all writers; as fast as they can if 0")
	batch      = flag.Uint("batch", tessera.DefaultBatchMaxSize, "entries of a batch at most")
	age        = flag.Duration("age", tessera.DefaultBatchMaxAge, "longest wait for a batch to fill")
	checkpoint = flag.Duration("checkpoint", tessera.DefaultCheckpointInterval, "time between checkpoints")
	antispam   = flag.Bool("antispam", false, "look for duplicates among the last entries, in memory")
)

func main() {
	flag.Parse()
	err := errors.New("tessera-append [flags] FOLDER")
	if flag.Arg(0) == "key" && flag.NArg() == 3 {
		err = key(flag.Arg(1), flag.Arg(2))
	} else if flag.NArg() == 1 {
		err = load(flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func key(origin, file string) error {
	signer, verifier, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	fmt.Println(verifier)
	return os.WriteFile(file, []byte(signer), 0o600)
}

func load(folder string) error {
	ctx := context.Background()
	secret, _, err := note.GenerateKey(rand.Reader, "bench.example/log")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(*batch, *age).
		WithCheckpointInterval(*checkpoint)
	if *antispam {
		options = options.WithAntispam(tessera.DefaultAntispamInMemorySize, nil)
	}
	// Not shut down: that waits for a checkpoint, and what is in the tree is all that counts here.
	appender, _, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	before, err := reader.IntegratedSize(ctx)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cpu, written := cpuSeconds(), number("/proc/self/io", "write_bytes:")
	start := time.Now()
	waits, refused := offerAll(ctx, appender, before, start)
	elapsed := time.Since(start).Seconds()
	cpu, written = cpuSeconds()-cpu, number("/proc/self/io", "write_bytes:")-written
	after, err := reader.IntegratedSize(ctx)
	if err != nil {
		return err
	}
	count := float64(after - before)
	if after-before < uint64(len(waits))**atOnce {
		return fmt.Errorf("%d entries have an index, and the tree grew by %d", uint64(len(waits))**atOnce, after-before)
	}
	slices.Sort(waits)
	fmt.Printf("%.0f %.2f %.2f\n", count/elapsed, percentile(waits, 50), percentile(waits, 99))
	fmt.Printf("%.2f us of processor time an entry\n", cpu*1e6/count)
	fmt.Printf("%.0f bytes written an entry\n", written/count)
	fmt.Printf("%.0f MiB of memory at most\n", number("/proc/self/status", "VmHWM:")/1024)
	fmt.Printf("%d offers refused as busy\n", refused)
	return nil
}

// offerAll says how long each offer waited for its indices, and how many were refused.
func offerAll(ctx context.Context, appender *tessera.Appender, run uint64, start time.Time) ([]time.Duration, uint64) {
	var (
		mutex   sync.Mutex
		waits   []time.Duration
		refused uint64
		group   sync.WaitGroup
	)
	for writer := range *writers {
		group.Go(func() {
			waited, busy := offer(ctx, appender, run, writer, start)
			mutex.Lock()
			defer mutex.Unlock()
			waits = append(waits, waited...)
			refused += busy
		})
	}
	group.Wait()
	return waits, refused
}

func offer(ctx context.Context, appender *tessera.Appender, run, writer uint64, start time.Time) (waits []time.Duration, refused uint64) {
	end := start.Add(time.Duration(*seconds * float64(time.Second)))
	var every, first time.Duration
	if *rate > 0 {
		every = time.Duration(float64(*writers**atOnce) / *rate * float64(time.Second))
		// Writers that keep a rate do not all begin at once.
		first = time.Duration(float64(every) * float64(writer) / float64(*writers))
	}
	futures := make([]tessera.IndexFuture, *atOnce)
	for round := uint64(0); *entries == 0 || round*(*writers)*(*atOnce) < *entries; round++ {
		due := time.Now()
		if every > 0 {
			due = start.Add(first + every*time.Duration(round))
		}
		if !due.Before(end) {
			break
		}
		time.Sleep(time.Until(due))
		for place := range futures {
			number := round**atOnce + uint64(place)
			futures[place] = appender.Add(ctx, tessera.NewEntry(entry(*size, run, writer, number)))
		}
		busy := false
		for _, future := range futures {
			if _, err := future(); err != nil {
				busy = true
			}
		}
		if busy {
			refused++
			time.Sleep(time.Millisecond)
			continue
		}
		waits = append(waits, time.Since(due))
	}
	return waits, refused
}

// entry makes bytes that differ for each entry and do not compress well.
func entry(length int, run, writer, number uint64) []byte {
	state := ((run<<20)^(writer<<40)^number)*0x9e37_79b9_7f4a_7c15 | 1
	bytes := make([]byte, 0, length+24)
	for _, part := range []uint64{run, writer, number} {
		bytes = binary.BigEndian.AppendUint64(bytes, part)
	}
	for len(bytes) < length {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		bytes = binary.BigEndian.AppendUint64(bytes, state)
	}
	return bytes[:max(length, 24)]
}

// percentile of what is sorted, in milliseconds.
func percentile(sorted []time.Duration, part int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*part/100, len(sorted)-1)].Seconds() * 1e3
}

// cpuSeconds is the processor time of this process: the 14th and 15th field, in hundredths of a second.
func cpuSeconds() float64 {
	stat, _ := os.ReadFile("/proc/self/stat")
	// The name before may hold spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// number is the first one of the line that begins with name.
func number(path, name string) float64 {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			value, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return value
		}
	}
	return 0
}
