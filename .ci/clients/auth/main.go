// Command auth is package auth's side of the comparisons that run makes.
//
//	auth moto    reads tokens that moto issued, and where its keys are, and verifies them
//	auth matrix  writes a matrix of Cognito tokens with package auth's verdict on each
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func() error{"moto": moto, "matrix": matrix}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: auth moto|matrix")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](); err != nil {
		fmt.Fprintln(os.Stderr, "auth:", err)
		os.Exit(1)
	}
}
