// Command sigv4 runs package sigv4 in the comparison with other signers.
//
//	sigv4 cases N    prints N requests in JSON, each with package sigv4's signature
//	sigv4 verify     reads requests that another signer has signed, and verifies each
//	sigv4 serve      serves what AWS's clients call, but only to verified requests, and prints its addresses
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/tallygate/tallygate/sigv4"
)

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	region    = "eu-west-1"
	host      = "api.example.com"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("sigv4: ")
	if len(os.Args) < 2 {
		log.Fatal("usage: sigv4 cases N | verify | serve")
	}
	switch os.Args[1] {
	case "cases":
		n, err := strconv.Atoi(os.Args[2])
		check(err)
		check(json.NewEncoder(os.Stdout).Encode(newCases(n)))
	case "verify":
		n, err := verifyAll(os.Stdin)
		check(err)
		fmt.Println(n)
	case "serve":
		check(serve())
	default:
		log.Fatalf("no such command: %s", os.Args[1])
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// verifier accepts the key above, with a session token if one is given.
func verifier(s3 bool, token string, services ...string) *sigv4.Verifier {
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{accessKey: {Secret: secretKey, SessionToken: sigv4.Secret(token)}}.Key,
		Regions: []string{region}, Services: services, S3: s3,
	})
	check(err)
	return v
}

func signer(s3 bool, token string) *sigv4.Signer {
	s, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: accessKey, Secret: secretKey, SessionToken: sigv4.Secret(token)}, nil
		},
		Region: region, S3: s3,
	})
	check(err)
	return s
}
