// Command policy prints policy documents, requests, and what package auth/policy decides about them, as JSON. compare.py
// asks moto about the same.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/tallygate/tallygate/auth/policy"
)

const stage = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"

// asked is a document, a request, and our decision.
type asked struct {
	Document policy.Document
	Resource string
	Ours     string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run decides about the documents and resources of standard input, if there is an argument, and else about random ones.
func run() error {
	if len(os.Args) == 1 {
		var all []asked
		random := rand.New(rand.NewPCG(23, 1))
		for range 5000 {
			all = append(all, asked{Document: document(random), Resource: stage + "/" + one(random, "GET", "POST") + "/" + path(random)})
		}
		return answer(all)
	}
	var all []asked
	if err := json.NewDecoder(os.Stdin).Decode(&all); err != nil {
		return err
	}
	return answer(all)
}

func answer(all []asked) error {
	for i := range all {
		p, err := policy.New(all[i].Document)
		if err != nil {
			return err
		}
		all[i].Ours = p.Evaluate(&policy.Request{Resource: all[i].Resource}).String()
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

func one(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// some returns one to three texts.
func some(r *rand.Rand, text func(*rand.Rand) string) (list []string) {
	for range 1 + r.IntN(3) {
		list = append(list, text(r))
	}
	return list
}

// document returns a document of what moto and IAM's documentation read alike: actions in the case in which they are
// asked for, asterisks after the fifth colon, and neither NotResource nor a condition.
func document(r *rand.Rand) policy.Document {
	d := policy.Document{Version: "2012-10-17"}
	for range 1 + r.IntN(4) {
		s := policy.Statement{Effect: one(r, "Allow", "Allow", "Deny"), Resource: some(r, resource)}
		if r.IntN(4) == 0 {
			s.NotAction = some(r, action)
		} else {
			s.Action = some(r, action)
		}
		d.Statement = append(d.Statement, s)
	}
	return d
}

func action(r *rand.Rand) string {
	return one(r, "*", "execute-api:*", "execute-api:Invoke", "execute-api:Inv*", "execute-api:*oke", "execute-api:ManageConnections", "s3:*", "s3:GetObject")
}

func resource(r *rand.Rand) string {
	if r.IntN(6) == 0 {
		return one(r, "*", stage+"/*", stage+"/GET/*", stage+"/*/a*", stage+"*")
	}
	return stage + "/" + one(r, "GET", "POST", "*", "G*T") + "/" + pattern(r)
}

func path(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(5) {
		b.WriteString(one(r, "a", "b", "/", "ab", "é"))
	}
	return b.String()
}

func pattern(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(5) {
		b.WriteString(one(r, "a", "b", "/", "*", "ab", "*a"))
	}
	return b.String()
}
