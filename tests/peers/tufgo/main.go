// Command tufgo is go-tuf's client with the command line of tuf-conformance; see ../README.md.
//
//	tufgo --metadata-dir D init ROOT
//	tufgo --metadata-dir D --metadata-url U refresh
//	tufgo --metadata-dir D --metadata-url U --target-name T --target-base-url U --target-dir D download
//
// --clock-days N moves the client's clock. It exits 1 with the refusal's type and message where go-tuf refuses.
package main

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// names is a flag that may be given more than once.
type names []string

func (n *names) String() string { return strings.Join(*n, " ") }

func (n *names) Set(name string) error {
	*n = append(*n, name)
	return nil
}

var (
	metadataDir = flag.String("metadata-dir", "", "")
	metadataURL = flag.String("metadata-url", "", "")
	targetDir   = flag.String("target-dir", "", "")
	targetURL   = flag.String("target-base-url", "", "")
	clockDays   = flag.Int("clock-days", 0, "")
	targets     names
)

func main() {
	flag.Var(&targets, "target-name", "")
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "%T: %v\n", err, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	root := filepath.Join(*metadataDir, "root.json")
	switch {
	case len(args) == 2 && args[0] == "init":
		bytes, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		if err := os.MkdirAll(*metadataDir, 0o755); err != nil {
			return err
		}
		return os.WriteFile(root, bytes, 0o644)
	case len(args) == 1 && (args[0] == "refresh" || args[0] == "download"):
		return refresh(root, args[0] == "download")
	}
	return fmt.Errorf("usage: tufgo OPTIONS init ROOT | refresh | download")
}

func refresh(root string, download bool) error {
	bytes, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	cfg, err := config.New(*metadataURL, bytes)
	if err != nil {
		return err
	}
	cfg.LocalMetadataDir = *metadataDir
	cfg.LocalTargetsDir = *metadataDir
	client, err := updater.New(cfg)
	if err != nil {
		return err
	}
	client.UnsafeSetRefTime(time.Now().UTC().AddDate(0, 0, *clockDays))
	if err := client.Refresh(); err != nil || !download {
		return err
	}
	if err := os.MkdirAll(*targetDir, 0o755); err != nil {
		return err
	}
	for _, name := range targets {
		info, err := client.GetTargetInfo(name)
		if err != nil {
			return err
		}
		path := filepath.Join(*targetDir, url.QueryEscape(name))
		if found, _, err := client.FindCachedTarget(info, path); err != nil || found != "" {
			if err != nil {
				return err
			}
			continue
		}
		if _, _, err := client.DownloadTarget(info, path, *targetURL); err != nil {
			return err
		}
	}
	return nil
}
