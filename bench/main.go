// Command bench measures Nestbox beside systemd-nspawn driven the upstream way
// (the peer) and beside bare systemds (the floor), in real Nix builds, and
// holds the figures against the project's goals. bench/run.sh is how it is
// started; README.md says what is measured and how.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nestbox/nestbox/test/nixenv"
)

type options struct {
	runs       int
	only       string
	contenders string
	floor      string
	json       string
}

func main() {
	var o options
	var quick bool
	flag.IntVar(&o.runs, "runs", 5, "how often 24 machines are booted; the quick scenarios run more often")
	flag.BoolVar(&quick, "quick", false, "the same as --runs 1: to see that all works, not to compare")
	flag.StringVar(&o.only, "only", "", "comma-separated `NAMES` of scenarios: "+strings.Join(scenarioNames(), ", "))
	flag.StringVar(&o.contenders, "contenders", "nestbox peer floor", "who takes part, in this `ORDER`")
	flag.StringVar(&o.floor, "floor", "", "`DIR` with bin/floor; run.sh builds it")
	flag.StringVar(&o.json, "json", "", "also write all figures to `FILE`")
	flag.Parse()
	if quick {
		o.runs = 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) error {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	repo := nixenv.Repo()
	env, err := nixenv.Open(ctx, nixenv.DefaultConfig(repo))
	if err != nil {
		return err
	}
	defer func() { _ = env.Close() }()
	args, err := inputs(ctx, env, repo, o)
	if err != nil {
		return err
	}
	all := &report{When: time.Now().UTC().Format(time.RFC3339), Host: host(), Runs: o.runs}
	fmt.Fprintln(w, all.Host.text())
	for _, s := range chosen {
		args["rounds"] = strconv.Itoa(s.rounds(o.runs))
		started := time.Now()
		r, err := measure(ctx, env, repo, s.name, args)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %d turns in %.0f s; logs: %s\n", s.name, len(r.Turns), time.Since(started).Seconds(), r.dir)
		all.Scenarios = append(all.Scenarios, r)
	}
	all.Metrics = evaluate(all.Scenarios)
	fmt.Fprint(w, "\n", table(all))
	if o.json != "" {
		if err := writeJSON(o.json, all); err != nil {
			return err
		}
	}
	return failures(all.Scenarios)
}

// inputs puts what the builds need into the store.
func inputs(ctx context.Context, env *nixenv.Env, repo string, o options) (map[string]string, error) {
	args := map[string]string{
		"contenders": o.contenders,
		"nonce":      strconv.FormatInt(time.Now().UnixNano(), 36),
	}
	var err error
	if args["debian"], err = env.AddPath(ctx, "debian", filepath.Join(repo, ".cache", "debian-guest")); err != nil {
		return nil, err
	}
	if args["nestbox"], err = nixenv.AddNestbox(ctx, env, repo); err != nil {
		return nil, err
	}
	if args["floor"], err = env.AddPath(ctx, "bench-floor", o.floor); err != nil {
		return nil, err
	}
	return args, nil
}

func measure(ctx context.Context, env *nixenv.Env, repo, scenario string, args map[string]string) (*result, error) {
	built := env.Build(ctx, filepath.Join(repo, "bench", "bench.nix"), scenario, args)
	if built.Err != nil {
		return nil, fmt.Errorf("measuring %s: %w", scenario, built.Err)
	}
	data, err := os.ReadFile(filepath.Join(built.HostPath, "results.json"))
	if err != nil {
		return nil, fmt.Errorf("reading the figures of %s: %w", scenario, err)
	}
	r := &result{dir: built.HostPath}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading the figures of %s: %w", scenario, err)
	}
	return r, nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("encoding the figures: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}

// failures returns an error that names each turn that went wrong, or nil.
func failures(results []*result) error {
	var errs []error
	for _, r := range results {
		for _, t := range r.Turns {
			if t.Error != "" {
				errs = append(errs, fmt.Errorf("%s, round %d, %s: %s (see %s)", r.Scenario, t.Round, t.Contender, t.Error, r.dir))
			}
		}
	}
	return errors.Join(errs...)
}
