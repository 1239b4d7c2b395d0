// Command cold prints what auth/awslambda, alone and with the whole chain, adds to the size of a program and to its
// cold start, over a bare function. It builds the three programs, and starts them in turn against a Runtime API of its
// own. A cold start is the time from the start of the process to its first request for an event.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var programs = []string{"bare", "adapter", "chain"}

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 60, "starts of each program")
	packages := flag.Bool("packages", false, "print what each package adds to the size of the chain")
	flag.Parse()
	if err := run(context.Background(), *rounds, *packages); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, rounds int, packages bool) error {
	dir, err := os.MkdirTemp("", "cold")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sizes := map[string]int64{}
	for _, program := range programs {
		if sizes[program], err = build(ctx, dir, program, "-s -w"); err != nil {
			return err
		}
	}
	times := map[string][]time.Duration{}
	// The programs start in turn. So a load of the machine that changes with time is the same for all of them.
	for range rounds {
		for _, program := range programs {
			took, err := start(ctx, filepath.Join(dir, program))
			if err != nil {
				return err
			}
			times[program] = append(times[program], took)
		}
	}
	report(sizes, times)
	if packages {
		return reportPackages(ctx, dir, sizes["chain"]-sizes["bare"])
	}
	return nil
}

// build builds a program, and returns its size. Programs are deployed without symbols: with the flags -s -w.
func build(ctx context.Context, dir, program, flags string) (int64, error) {
	file := filepath.Join(dir, program)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", flags,
		"-o", file, "./"+program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", program, err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// start starts a program and returns how long it took until it asked for its first event. It gets none, and is killed
// then. A program that asks for nothing is killed after 30 s.
//
// The server keeps each request open. If it answered with an error, the program would ask again, or end before its time
// was read.
func start(ctx context.Context, file string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	asked := make(chan time.Time, 1)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/runtime/invocation/next") {
			select {
			case asked <- time.Now():
			default:
			}
		}
		<-r.Context().Done()
	}))
	defer api.Close()
	cmd := exec.CommandContext(ctx, file)
	cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(api.URL, "http://"))
	var says strings.Builder
	cmd.Stderr = &says
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case at := <-asked:
		_ = cmd.Process.Kill()
		<-ended
		return at.Sub(began), nil
	case err := <-ended:
		return 0, fmt.Errorf("%s asked for no event: %w: %s", file, err, says.String())
	}
}

// report prints sizes, and the minima and medians of the times. A difference of medians is less noisy than one of means.
// On a machine that does other work the minima are what the programs themselves need.
func report(sizes map[string]int64, times map[string][]time.Duration) {
	fmt.Printf("%-8s %9s %9s %12s %9s %12s %9s\n",
		"program", "size MB", "over bare", "minimum ms", "over bare", "median ms", "over bare")
	at := func(program string, share float64) float64 {
		all := slices.Sorted(slices.Values(times[program]))
		return float64(all[int(share*float64(len(all)))].Microseconds()) / 1000
	}
	for _, program := range programs {
		size := float64(sizes[program]) / 1e6
		fmt.Printf("%-8s %9.2f %9.2f", program, size, size-float64(sizes["bare"])/1e6)
		for _, share := range []float64{0, 0.5} {
			fmt.Printf(" %12.2f %9.2f", at(program, share), at(program, share)-at("bare", share))
		}
		fmt.Println()
	}
}
