// Command gonote opens a signed note, such as a checkpoint, with golang.org/x/mod/sumdb/note.
//
//	gonote NOTE VKEY..
//
// It prints `verified NAME` for each signature that one of the keys verifies, then the note's text. It exits 1
// where the note is malformed, where no key verifies it, or where a signature by a given key is broken.
package main

import (
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gonote:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: gonote NOTE VKEY..")
	}
	message, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var verifiers []note.Verifier
	for _, vkey := range args[1:] {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return fmt.Errorf("%q: %w", vkey, err)
		}
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open(message, note.VerifierList(verifiers...))
	if err != nil {
		return err
	}
	for _, signature := range opened.Sigs {
		fmt.Println("verified", signature.Name)
	}
	fmt.Print(opened.Text)
	return nil
}
