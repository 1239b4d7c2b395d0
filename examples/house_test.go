// Package examples_test checks the rules of this repository: which package may import which, and that code which is
// copied on purpose stays equal.
package examples_test

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root   = ".."
	module = "github.com/tallygate/tallygate/"
)

// allowed lists, for every package of the module, what it may import from the module. A package that is not listed is
// a mistake, and so is an import that is not.
var allowed = map[string][]string{
	"sigv4":                         nil,
	"sigv4/session":                 {"sigv4"},
	"auth":                          nil,
	"auth/authtest":                 nil,
	"auth/awslambda":                nil,
	"auth/awslambda/authorizer":     {"apikey", "auth", "auth/awslambda", "auth/custom", "auth/policy", "sigv4"},
	"auth/custom":                   {"auth/policy"},
	"auth/identitypool":             {"auth", "auth/policy", "sigv4", "sigv4/session"},
	"auth/policy":                   {"ratelimit/clientip"},
	"auth/policy/policytest":        {"auth/policy"},
	"auth/sts":                      {"auth", "auth/policy", "sigv4", "sigv4/session"},
	"apikey":                        {"usageplan/journal"},
	"ratelimit":                     nil,
	"ratelimit/clientip":            nil,
	"ratelimit/window":              {"ratelimit", "ratelimit/clientip"},
	"usageplan":                     {"ratelimit", "usageplan/ledger", "usageplan/journal", "usageplan/internal/chart"},
	"usageplan/journal":             nil,
	"usageplan/journal/journaltest": {"usageplan/journal"},
	"usageplan/ledger":              {"usageplan/internal/past"},
	"usageplan/enginetest":          {"usageplan/ledger"},
	"usageplan/slots":               {"usageplan/ledger", "usageplan/internal/filelock"},
	"usageplan/boltstore":           {"usageplan/ledger", "usageplan/journal", "usageplan/internal/past", "usageplan/internal/filelock"},
	"usageplan/internal/chart":      {"usageplan/ledger"},
	"usageplan/internal/past":       nil,
	"usageplan/internal/filelock":   nil,
	"usageplan/admin":               {"apikey", "ratelimit", "usageplan", "usageplan/ledger", "usageplan/journal", "usageplan/internal/chart"},
}

// modules lists what a package may import from outside the module and the standard library. All others import nothing.
var modules = map[string][]string{
	"auth":                {"github.com/golang-jwt/jwt/v5", "github.com/MicahParks/keyfunc/v3", "github.com/MicahParks/jwkset"},
	"auth/authtest":       {"github.com/golang-jwt/jwt/v5", "github.com/MicahParks/jwkset"},
	"usageplan/boltstore": {"go.etcd.io/bbolt", "go.etcd.io/bbolt/errors"},
}

// Tests may import what they like: they show packages together with others, and use test libraries.
func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for dir, files := range packages(t) {
		if strings.HasPrefix(dir, "examples") {
			continue // may import everything
		}
		inside, listed := allowed[dir]
		require.True(t, listed, "package %s is not in the table of imports", dir)
		for _, file := range files {
			if strings.HasSuffix(file.name, "_test.go") {
				continue
			}
			for _, spec := range file.ast.Imports {
				target, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				first, _, _ := strings.Cut(target, "/")
				if rest, ours := strings.CutPrefix(target, module); ours {
					require.Contains(t, inside, rest, "%s imports %s", file.name, rest)
				} else if strings.Contains(first, ".") {
					require.Contains(t, modules[dir], target, "%s imports %s", file.name, target)
				}
			}
		}
	}
}

// large are packages of the standard library that a server or a Lambda function does not need for
// what it serves. Package html has the names of all entities. A template makes the linker keep all exported methods.
var large = []string{"html", "html/template", "text/template", "regexp", "testing", "expvar", "net/rpc"}

// Every program that decides about requests contains these packages, so they import none of the large ones. A program has package
// regexp only if it makes an auth.Pattern.
func TestPackagesOfTheChainImportNothingLarge(t *testing.T) {
	chain := []string{
		"sigv4", "auth", "auth/awslambda", "apikey", "ratelimit", "usageplan", "usageplan/journal", "usageplan/ledger",
		"usageplan/internal/chart", "usageplan/internal/past",
	}
	all := packages(t)
	for _, dir := range chain {
		require.NotEmpty(t, all[dir], dir)
		for _, file := range all[dir] {
			if strings.HasSuffix(file.name, "_test.go") || path.Base(filepath.ToSlash(file.name)) == "pattern.go" {
				continue
			}
			for _, spec := range file.ast.Imports {
				target, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				require.NotContains(t, large, target, "%s imports %s", file.name, target)
			}
		}
	}
}

// foreign are the packages that do not answer as API Gateway does, because they speak another protocol of AWS.
var foreign = []string{"auth/identitypool", "auth/sts"}

// TestAnswerCopiesAreEqual holds the copies of the answer writer equal: copying it keeps the packages independent.
// Every package whose Error is an http.Handler has one.
func TestAnswerCopiesAreEqual(t *testing.T) {
	copies := append(requireEqualCopies(t, "answer"), foreign...)
	require.ElementsMatch(t, copies, requireEqualCopies(t, "nameRequest"))
	for dir, files := range packages(t) {
		for _, file := range files {
			for _, decl := range file.ast.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if ok && fn.Name.Name == "ServeHTTP" && receiver(fn) == "Error" && !strings.HasSuffix(file.name, "_test.go") {
					require.Contains(t, copies, dir, "packages with an answer writer")
				}
			}
		}
	}
}

// TestClipCopiesAreEqual holds the copies of the function equal that bounds what is repeated of a client's text. Only
// packages that repeat such a text have one.
func TestClipCopiesAreEqual(t *testing.T) { requireEqualCopies(t, "clip") }

// TestMethodCopiesAreEqual holds the copies of the functions equal that decide which paths and methods have a method
// ARN. A policy must mean the same to an authorizer and to a gate.
func TestMethodCopiesAreEqual(t *testing.T) {
	for _, name := range []string{"plain", "slash"} {
		require.ElementsMatch(t, []string{"auth/custom", "auth/policy"}, requireEqualCopies(t, name))
	}
}

// requireEqualCopies holds all functions of a name equal, with their docs, and returns the folders of their packages.
func requireEqualCopies(t *testing.T, name string) (dirs []string) {
	t.Helper()
	var first, firstName string
	for dir, files := range packages(t) {
		for _, file := range files {
			for _, decl := range file.ast.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Recv != nil || fn.Name.Name != name || strings.HasSuffix(file.name, "_test.go") {
					continue
				}
				text := source(t, file, fn)
				if dirs = append(dirs, dir); first == "" {
					first, firstName = text, file.name
				}
				require.Equal(t, first, text, "%s and %s differ", firstName, file.name)
			}
		}
	}
	require.Greater(t, len(dirs), 1, "copies of %s", name)
	return dirs
}

// receiver is the name of a method's receiver type, "" for a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	kind := fn.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	name, _ := kind.(*ast.Ident)
	if name == nil {
		return ""
	}
	return name.Name
}

// Every package has its documentation in doc.go, and nowhere else.
func TestPackageDocsStandInDocGo(t *testing.T) {
	for dir, files := range packages(t) {
		var docs []string
		for _, file := range files {
			if file.ast.Doc != nil && !strings.HasSuffix(file.name, "_test.go") {
				docs = append(docs, filepath.Base(file.name))
			}
		}
		want := []string{"doc.go"}
		if strings.HasPrefix(dir, "examples/") {
			want = []string{"main.go"}
		} else if dir == "examples" {
			want = nil // tests only
		}
		require.Equal(t, want, docs, "package docs of %s", dir)
	}
}

func TestTopLevelIsClosed(t *testing.T) {
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			got = append(got, e.Name())
		}
	}
	want := []string{"LICENSE", "README.md", "apikey", "auth", "examples", "go.mod", "go.sum", "ratelimit", "sigv4", "usageplan"}
	require.Equal(t, want, got)
}

type file struct {
	name string
	fset *token.FileSet
	ast  *ast.File
}

// packages parses every Go file of the root module, by folder. Folders that the go command skips, and nested modules,
// are left out.
func packages(t *testing.T) map[string][]file {
	t.Helper()
	found := make(map[string][]file)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if nested == nil || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(base) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		dir := filepath.ToSlash(rel)
		found[dir] = append(found[dir], file{name, fset, parsed})
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for _, files := range found {
		slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	}
	return found
}

func source(t *testing.T, f file, node ast.Node) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, printer.Fprint(&b, f.fset, node))
	return b.String()
}
