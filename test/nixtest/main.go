// Command nixtest builds one attribute of a Nix file in the repository's real
// Nix (see package nixenv) and shows its log as it comes. It is what
// scripts/demo.sh and people at work on Nestbox use; tests use nixenv.
//
//	nixtest FILE ATTRIBUTE [NAME=VALUE]...
//
// Each NAME=VALUE becomes --argstr NAME VALUE; debian, nestbox and nonce are
// filled in.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nestbox/nestbox/test/nixenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "nixtest: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: nixtest FILE ATTRIBUTE and any number of NAME=VALUE")
	}
	repo := nixenv.Repo()
	env, err := nixenv.Open(ctx, nixenv.DefaultConfig(repo))
	if err != nil {
		return err
	}
	defer func() { _ = env.Close() }()
	values := map[string]string{"nonce": strconv.FormatInt(time.Now().UnixNano(), 36)}
	if values["debian"], err = env.AddPath(ctx, "debian", filepath.Join(repo, ".cache", "debian-guest")); err != nil {
		return err
	}
	if values["nestbox"], err = nixenv.AddNestbox(ctx, env, repo); err != nil {
		return err
	}
	for _, arg := range args[2:] {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("argument %q is not NAME=VALUE", arg)
		}
		values[name] = value
	}
	result := env.Build(ctx, args[0], args[1], values)
	fmt.Print(result.Log)
	if result.Err != nil {
		return fmt.Errorf("the build failed with exit code %d after %.2f s", result.ExitCode, result.Duration.Seconds())
	}
	fmt.Printf("%s (%.2f s)\n", result.OutPath, result.Duration.Seconds())
	return nil
}
