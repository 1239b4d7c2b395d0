package function_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// template is the part of template.yaml that can disagree with the programs. The resources of a kind that has no such
// members leave them empty. A short form like !Ref is read as its text.
type template struct {
	Parameters map[string]struct{ Type string }
	Globals    struct {
		Function struct{ Handler, Runtime string }
	}
	Resources map[string]struct {
		Type       string
		Properties struct {
			StageName                    string
			CodeURI                      string
			ReservedConcurrentExecutions int
			Environment                  struct{ Variables map[string]string }
			Policies                     []struct{ Statement []struct{ Action []string } }
			AttributeDefinitions         []types.AttributeDefinition // of a table
			KeySchema                    []types.KeySchemaElement
			FunctionURLConfig            struct{ AuthType, InvokeMode string }
			Auth                         struct {
				Authorizers map[string]struct {
					FunctionArn, FunctionPayloadType string
					Identity                         struct{ Header string }
				}
			}
			Events map[string]struct {
				Type       string
				Properties struct {
					RestAPI      string `json:"RestApiId"`
					Method, Path string
					Auth         struct{ Authorizer string }
				}
			}
		}
	}
}

func readTemplate(t *testing.T) (all template) {
	t.Helper()
	text, err := os.ReadFile("template.yaml")
	require.NoError(t, err)
	var tree map[string]any
	require.NoError(t, yaml.Unmarshal(text, &tree))
	text, err = json.Marshal(tree) // whose names are matched without regard to case
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &all))
	return all
}

// The template starts the programs of this folder, under the name that the runtime starts, and sets the variables that
// they read: all of them, and no others. Lambda itself sets AWS_REGION.
func TestTemplateStartsThePrograms(t *testing.T) {
	all := readTemplate(t)
	require.Equal(t, "bootstrap", all.Globals.Function.Handler)
	require.Equal(t, "provided.al2023", all.Globals.Function.Runtime)
	var programs []string
	for name, r := range all.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		program, ok := strings.CutPrefix(r.Properties.CodeURI, "build/")
		require.True(t, ok, name)
		program = strings.TrimSuffix(program, "/")
		programs = append(programs, program)
		read := slices.DeleteFunc(calls(t, program, "env"), func(s string) bool { return s == "AWS_REGION" })
		set := r.Properties.Environment.Variables
		require.ElementsMatch(t, slices.Compact(slices.Sorted(slices.Values(read))), slices.Collect(maps.Keys(set)), name)
		for _, parameter := range []string{set["ISSUER"], set["CLIENT"]} {
			require.Contains(t, all.Parameters, parameter, name)
		}
	}
	require.ElementsMatch(t, []string{"loyalty", "authorizer"}, programs)
}

// The events of the function are the routes of its mux. The function is started by lambda.Start(f), so its URL must not
// stream, and the divisor of its throttle is the number of its environments.
func TestTemplateHasTheRoutesOfTheFunction(t *testing.T) {
	all := readTemplate(t)
	f := all.Resources["LoyaltyFunction"].Properties
	var events []string
	for name, e := range f.Events {
		require.Equal(t, "Api", e.Type, name)
		require.Equal(t, "LoyaltyApi", e.Properties.RestAPI, name)
		events = append(events, e.Properties.Method+" "+e.Properties.Path)
	}
	routes := slices.DeleteFunc(calls(t, "loyalty", "Handle"), func(s string) bool { return s == "/" })
	require.ElementsMatch(t, routes, events)
	require.Equal(t, "AWS::Serverless::Api", all.Resources["LoyaltyApi"].Type)
	require.Equal(t, "BUFFERED", f.FunctionURLConfig.InvokeMode)
	require.Equal(t, "NONE", f.FunctionURLConfig.AuthType)
	require.Equal(t, strconv.Itoa(f.ReservedConcurrentExecutions), f.Environment.Variables["CONCURRENCY"])
}

// Every authorizer of a route is declared, is the function of this folder, and gets the event that the tests send.
func TestTemplateDeclaresTheAuthorizer(t *testing.T) {
	all := readTemplate(t)
	declared := all.Resources["LoyaltyApi"].Properties.Auth.Authorizers
	require.Equal(t, "Users", all.Resources["LoyaltyFunction"].Properties.Events["Me"].Properties.Auth.Authorizer)
	require.Len(t, declared, 1)
	users := declared["Users"]
	function, attribute, _ := strings.Cut(users.FunctionArn, ".")
	require.Equal(t, "Arn", attribute)
	require.Equal(t, "build/authorizer/", all.Resources[function].Properties.CodeURI)
	require.Equal(t, "TOKEN", users.FunctionPayloadType)
	require.Equal(t, "Authorization", users.Identity.Header)
}

// The function may do with its table what package dynamostore asks for, and nothing else.
func TestTemplateGrantsTheRightsOfTheTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "usageplan", "dynamostore", "doc.go"))
	require.NoError(t, err)
	documented := regexp.MustCompile(`"(dynamodb:\w+)"`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, documented)
	var want []string
	for _, action := range documented {
		want = append(want, action[1])
	}
	f := readTemplate(t).Resources["LoyaltyFunction"].Properties
	require.ElementsMatch(t, want, f.Policies[0].Statement[0].Action)
	require.Equal(t, "QuotaTable", f.Environment.Variables["TABLE"])
}

// calls returns the first argument of each call, if it is a literal, of a function or method in a program.
func calls(t *testing.T, program, name string) (literals []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(program, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, program)
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || called(call) != name || len(call.Args) == 0 {
				return true
			}
			if literal, ok := call.Args[0].(*ast.BasicLit); ok {
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				literals = append(literals, text)
			}
			return true
		})
	}
	return literals
}

// called is the name of what is called, without a package or a receiver.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
