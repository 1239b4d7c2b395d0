// Identity serves an identity pool, a security token service and an API that both give credentials for, to real clients;
// or it is one of these clients, made of aws-sdk-go-v2.
//
//	identity serve FOLDER    serves, and writes what clients need into files of the folder
//	identity sdk             calls as aws-sdk-go-v2; the environment says where
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "sdk":
		err = drive()
	default:
		err = fmt.Errorf("usage: %s serve FOLDER | sdk", os.Args[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "identity:", err)
		os.Exit(1)
	}
}
