package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// symbol matches a line of go tool nm: address, size, kind and name.
var symbol = regexp.MustCompile(`^ *[0-9a-f]+ +([0-9]+) ([A-Za-z]) (.*)$`)

// origin matches the path of the package in the name of a symbol, without what generic functions are made for.
var origin = regexp.MustCompile(`^(?:type:\.eq\.|go:itab\.\*?)?([^\[ ]*/)?([^\[./ ]+)\.`)

// reportPackages prints what each package has in the whole chain and not in the bare function: code and data in kB, and
// what this is in the file. The file also has tables of lines and pointers for the code, which nm does not assign to
// packages. They are spread in proportion to what a package has.
func reportPackages(ctx context.Context, dir string, inFile int64) error {
	sizes := map[string]map[string]int64{}
	for _, program := range []string{"bare", "chain"} {
		if _, err := build(ctx, filepath.Join(dir, "symbols"), program, ""); err != nil {
			return err
		}
		text, err := exec.CommandContext(ctx, "go", "tool", "nm", "-size", filepath.Join(dir, "symbols", program)).Output()
		if err != nil {
			return err
		}
		sizes[program] = byPackage(text)
	}
	over := map[string]int64{}
	var all int64
	for name, size := range sizes["chain"] {
		over[name] = size - sizes["bare"][name]
		all += over[name]
	}
	fmt.Printf("\n%-50s %9s %9s\n", "package of the chain, over bare", "kB", "in file")
	names := slices.SortedFunc(maps.Keys(over), func(a, b string) int { return cmp.Compare(over[b], over[a]) })
	for _, name := range names[:min(len(names), 24)] {
		fmt.Printf("%-50s %9.1f %9.1f\n", name, float64(over[name])/1e3, float64(over[name]*inFile/all)/1e3)
	}
	return nil
}

// byPackage adds up the code and the data of each package. Variables that begin as zero are in no file. What the linker
// has merged from all packages has no origin, and is left out.
func byPackage(text []byte) map[string]int64 {
	sizes := map[string]int64{}
	for line := range bytes.Lines(text) {
		m := symbol.FindStringSubmatch(strings.TrimSpace(string(line)))
		if m == nil || strings.Contains("bB", m[2]) {
			continue
		}
		if of := origin.FindStringSubmatch(m[3]); of != nil && !strings.HasPrefix(m[3], "go:func") {
			size, _ := strconv.ParseInt(m[1], 10, 64)
			sizes[of[1]+of[2]] += size
		}
	}
	return sizes
}
