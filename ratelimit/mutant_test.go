package ratelimit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mutant is a mistake in the algorithm that the histories must find. It is an edit of one function's syntax tree, and
// the function is given by its value, so a rename is followed by the compiler and not by hand.
type mutant struct {
	name string
	in   any
	edit func(*function)
}

var mutants = []mutant{
	{"stale clock taken for a wrapped tat", (*segment).spend, func(f *function) {
		f.binary(token.GTR, 0, func(e *ast.BinaryExpr) ast.Expr {
			return expr("%s && (%s <= %s+%s.burst || %s == frozen)", text(e), text(e.X), f.parameter(1), f.receiver(), text(e.X))
		})
	}},
	{"clock rewound: a forgotten bucket is full when it was not yet", (*keyed).settle, func(f *function) {
		f.binary(token.ADD, 0, left)
	}},
	{"clock rewound: a reading from before the limit counts", (*segment).at, func(f *function) {
		f.replace(0, func(e *ast.BasicLit) ast.Expr {
			return expr("%s + %s.units(uint64(%s.start-%s))", e.Value, f.receiver(), f.receiver(), f.parameter(0))
		})
	}},
	{"take given back twice", takeAll, func(f *function) {
		f.statement("undo", func(s ast.Stmt) []ast.Stmt {
			call := s.(*ast.ExprStmt).X.(*ast.CallExpr)
			receipt := text(call.Fun.(*ast.SelectorExpr).X)
			again := &ast.ExprStmt{X: &ast.CallExpr{Fun: expr("again.undo"), Args: call.Args}}
			return []ast.Stmt{&ast.AssignStmt{Lhs: []ast.Expr{expr("again")}, Tok: token.DEFINE, Rhs: []ast.Expr{expr("%s", receipt)}}, s, again}
		})
	}},
	{"what has flowed back given back again", (*segment).owing, func(f *function) {
		f.binary(token.SUB, 1, left)
	}},
	{"take given back above the burst", (*segment).owing, func(f *function) { f.call("min", 0, first) }},
	{"slot reused under its former owner", (*table).take, func(f *function) { f.binary(token.LOR, 0, left) }},
	{"slot reused without a tag: its tat does not rise", (*shard).claim, func(f *function) { f.statement("Store", drop) }},
	{"slot reused before its bucket is full", (*shard).insert, func(f *function) {
		f.call("at", 0, func(e *ast.CallExpr) ast.Expr { return expr("%s + 4", text(e)) })
	}},
	{"limit changed while a take goes on under the old one", (*Bucket).replace, func(f *function) {
		f.call("Swap", 0, func(e *ast.CallExpr) ast.Expr { return expr("%s.Load()", text(e.Fun.(*ast.SelectorExpr).X)) })
	}},
	{"bucket forgotten by a key without its own limit any more", (*keyed).clearKeyLimit, func(f *function) {
		f.statement("Store", drop)
	}},
	{"undo in a queue gives back the instants of later takes", (*Bucket).undoQueued, func(f *function) { f.binary(token.SUB, 1, left) }},
	{"undo gives back the same instants again", (*Bucket).undoQueued, func(f *function) { f.statement("Store", drop) }},
	{"undo gives back what has flowed back by itself", (*Bucket).undoQueued, func(f *function) {
		f.call("min", 0, func(e *ast.CallExpr) ast.Expr { return expr("(%s + 0*now())", text(e.Args[0])) })
	}},
	{"undo forgets that callers may wait", (*Bucket).undo, func(f *function) {
		f.call("Load", 2, func(*ast.CallExpr) ast.Expr { return expr("false") })
	}},
	{"reservation overtakes", (*Bucket).reserve, func(f *function) {
		f.call("max", 0, func(e *ast.CallExpr) ast.Expr {
			return expr("max(min(%[1]s, %[2]s+s.burst), %[2]s)", text(e.Args[0]), text(e.Args[1]))
		})
	}},
	{"lost update", (*segment).spend, func(f *function) {
		f.call("CompareAndSwap", 0, func(e *ast.CallExpr) ast.Expr {
			return expr("%s.Swap(%s) != frozen", text(e.Fun.(*ast.SelectorExpr).X), text(e.Args[1]))
		})
	}},
}

// proofs are the tests that must find the mutants.
var proofs = []func(*testing.T){
	TestBucketHistoriesAreLinearizable, TestTableHistoriesAreLinearizable, TestTakeAllHistoriesAreLinearizable, TestReserveHistoriesAreLinearizable,
	TestTakeAllStaysWithinEveryBound, TestReservationsStayWithinTheBound, TestTakeAllDecidesAsTwoModels, TestLateUndoGivesBackNothingTwice,
}

func TestMutantsAreFound(t *testing.T) {
	found := mutants[:1] // each is a build
	if heavy(100) == 100 {
		found = mutants
		require.NoError(t, prove(t, mutant{}), "the histories are linearizable without a mutation, in any interleaving")
	}
	for _, m := range found {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			err := prove(t, m)
			require.Error(t, err, "the mutation was not found")
			require.Regexp(t, "not linearizable|Not equal|is not less than|Should be (empty|true|zero)", err.Error())
		})
	}
}

// prove runs the proofs on a copy of the package with the mutation. The copy yields after each step that matters, so
// that few processors show what many would.
func prove(t *testing.T, m mutant) error {
	dir, replace, edited := t.TempDir(), map[string]string{}, 0
	write := func(name, text string) {
		here, err := filepath.Abs(name)
		require.NoError(t, err)
		replace[here] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(replace[here], []byte(text), 0o600))
	}
	write("yield.go", "package ratelimit\n\nimport \"runtime\"\n\nfunc yield() { runtime.Gosched() }\n")
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if d, ok := d.(*ast.FuncDecl); ok {
				if m.in != nil && nameOf(d) == nameOfFunc(m.in) {
					f := &function{FuncDecl: d}
					m.edit(f)
					edited += f.edits
				}
				addYields(d)
			}
		}
		write(name, text(file))
	}
	require.True(t, m.in == nil || edited == 1, "the mutation's place is found once, not %d times", edited)
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	var names []string
	for _, p := range proofs {
		names = append(names, nameOfFunc(p))
	}
	pattern := "^(" + strings.Join(names, "|") + ")$"
	count := "-count=8" // a mistake shows in some interleavings only; the first failure ends the run
	if m.in == nil {
		count = "-count=1"
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-vet=off", count, "-failfast", "-timeout=10m", "-overlay", file, "-run", pattern, ".")
	test.Env = append(os.Environ(), "TALLYGATE_HEAVY=")
	if out, err := test.CombinedOutput(); err != nil {
		return failure(out)
	}
	return nil
}

type failure string

func (f failure) Error() string { return string(f) }

// nameOfFunc is the name of a function or method value, such as "spend" of (*segment).spend or "(*segment).spend".
func nameOfFunc(f any) string {
	full := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return full[strings.LastIndex(full, "/ratelimit.")+len("/ratelimit."):]
}

// nameOf is the same of a declaration.
func nameOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	return fmt.Sprintf("(%s).%s", text(d.Recv.List[0].Type), d.Name.Name)
}

// text prints a node.
func text(n ast.Node) string {
	var b bytes.Buffer
	if err := format.Node(&b, token.NewFileSet(), n); err != nil {
		panic(err)
	}
	return b.String()
}

// expr parses an expression.
func expr(f string, args ...any) ast.Expr {
	e, err := parser.ParseExpr(fmt.Sprintf(f, args...))
	if err != nil {
		panic(err)
	}
	return e
}

// A function is one that is being edited.
type function struct {
	*ast.FuncDecl
	edits int
}

func (f *function) receiver() string { return f.Recv.List[0].Names[0].Name }

// parameter is the name of parameter i.
func (f *function) parameter(i int) string {
	var names []string
	for _, p := range f.Type.Params.List {
		for _, n := range p.Names {
			names = append(names, n.Name)
		}
	}
	return names[i]
}

func left(e *ast.BinaryExpr) ast.Expr { return e.X }

func first(e *ast.CallExpr) ast.Expr { return e.Args[0] }

func drop(ast.Stmt) []ast.Stmt { return nil }

// binary edits the i-th binary expression with an operator, in the order of the source, the outer before the inner.
func (f *function) binary(op token.Token, i int, edit func(*ast.BinaryExpr) ast.Expr) {
	f.edit(i, func(e ast.Expr) ast.Expr {
		if e, ok := e.(*ast.BinaryExpr); ok && e.Op == op {
			return edit(e)
		}
		return nil
	})
}

// call edits the i-th call of a function or method of that name.
func (f *function) call(name string, i int, edit func(*ast.CallExpr) ast.Expr) {
	f.edit(i, func(e ast.Expr) ast.Expr {
		if e, ok := e.(*ast.CallExpr); ok && called(e) == name {
			return edit(e)
		}
		return nil
	})
}

// replace edits the i-th literal.
func (f *function) replace(i int, edit func(*ast.BasicLit) ast.Expr) {
	f.edit(i, func(e ast.Expr) ast.Expr {
		if e, ok := e.(*ast.BasicLit); ok {
			return edit(e)
		}
		return nil
	})
}

// edit replaces the i-th expression that edit returns another for.
func (f *function) edit(i int, edit func(ast.Expr) ast.Expr) {
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		if v.Kind() == reflect.Interface && v.CanSet() && !v.IsNil() {
			if e, ok := v.Interface().(ast.Expr); ok {
				if other := edit(e); other != nil {
					if i--; i == -1 {
						f.edits++
						v.Set(reflect.ValueOf(other))
						return
					}
				}
			}
		}
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for _, field := range v.Fields() {
				walk(field)
			}
		case reflect.Slice:
			for j := range v.Len() {
				walk(v.Index(j))
			}
		}
	}
	walk(reflect.ValueOf(f.Body))
}

// statement edits the statement that calls a method, or assigns to a field, of that name.
func (f *function) statement(name string, edit func(ast.Stmt) []ast.Stmt) {
	eachList(f.Body, func(list *[]ast.Stmt) {
		for i, s := range *list {
			at := ""
			switch s := s.(type) {
			case *ast.ExprStmt:
				if call, ok := s.X.(*ast.CallExpr); ok {
					at = called(call)
				}
			case *ast.AssignStmt:
				if field, ok := s.Lhs[0].(*ast.SelectorExpr); ok {
					at = field.Sel.Name
				}
			}
			if at == name {
				f.edits++
				*list = slices.Replace(*list, i, i+1, edit(s)...)
				return
			}
		}
	})
}

func called(e *ast.CallExpr) string {
	switch f := e.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// eachList calls do with each list of statements in a body.
func eachList(body *ast.BlockStmt, do func(*[]ast.Stmt)) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			do(&n.List)
		case *ast.CaseClause:
			do(&n.Body)
		}
		return true
	})
}

// addYields lets other goroutines in after each statement that touches an atomic or looks a key up, also if that is the
// first part of an if.
func addYields(d *ast.FuncDecl) {
	eachList(d.Body, func(list *[]ast.Stmt) {
		var with []ast.Stmt
		for _, s := range *list {
			with = append(with, s)
			switch s := s.(type) {
			case *ast.AssignStmt, *ast.ExprStmt:
				if isStep(s) {
					with = append(with, &ast.ExprStmt{X: expr("yield()")})
				}
			case *ast.IfStmt:
				if s.Init != nil && isStep(s.Init) {
					s.Body.List = slices.Insert(s.Body.List, 0, ast.Stmt(&ast.ExprStmt{X: expr("yield()")}))
				}
			}
		}
		*list = with
	})
}

// isStep reports whether a statement touches an atomic or looks a key up.
func isStep(s ast.Stmt) (step bool) {
	ast.Inspect(s, func(n ast.Node) bool {
		if e, ok := n.(*ast.CallExpr); ok && slices.Contains([]string{"Load", "Swap", "Store", "find"}, called(e)) {
			step = true
		}
		return !step
	})
	return step
}
